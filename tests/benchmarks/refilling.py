"""How long sampling takes whose responses are as long as real ones.

Run: python -m tests.benchmarks.refilling FILE   (of HH, as jsonl.gz)

Each response ends after as many tokens as a response of the file has words. In
waves of so many prompts, each waits for its longest; refilled, a prompt begins
where another has ended. The same work: the same tokens. The forms take turns;
medians over the turns, of processor time.
"""

import argparse
import functools
import gzip
import json
import os
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import Sampling
from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.models import language_model, presets
from rlhf_jax.types import LanguageModel, Prompts

VOCABULARY, STOP = 4096, 1


def lengths_of(path: str, count: int, most: int) -> np.ndarray:
  """[count] words of the last response of each dialogue, from 1 to `most`."""
  with gzip.open(path, 'rt') as lines:
    chosen = [json.loads(line)['chosen'] for line in lines]
  words = [len(text.rpartition('\n\nAssistant:')[2].split()) for text in chosen]
  drawn = np.random.default_rng(0).choice(words, count)
  return np.clip(drawn, 1, most)


def ending_after(model: LanguageModel) -> LanguageModel:
  """A model whose responses have as many tokens as their prompt's last id."""

  def bound(logits, left):
    stop = jnp.arange(logits.shape[-1]) == STOP
    stop = jnp.broadcast_to(stop, logits.shape)
    return jnp.where(stop == (left <= 1)[..., None], logits, -jnp.inf)

  def prefill(loaded, tokens, mask, samples, max_response):
    logits, cache = model.prefill(loaded, tokens, mask, samples, max_response)
    left = tokens[:, -1]
    return bound(logits, left), (cache, left)

  def decode_step(loaded, state, tokens):
    cache, left = state
    logits, cache = model.decode_step(loaded, cache, tokens)
    left = left - 1
    each = jnp.broadcast_to(left[:, None], tokens.shape)
    return bound(logits, each), (cache, left)

  def replace_prompts(state, other, places):
    left = state[1].at[places].set(other[1], mode='drop')
    return model.replace_prompts(state[0], other[0], places), left

  return model._replace(
    prefill=prefill, decode_step=decode_step, replace_prompts=replace_prompts
  )


def seconds_of(
  model: LanguageModel,
  lengths: np.ndarray,
  *,
  slots: int,
  longest: int,
  rounds: int,
) -> dict[str, list[float]]:
  """{form: processor seconds of each round}.

  Args:
    model: what samples.
    lengths: [N] tokens of each response.
    slots: prompts at a time, a divisor of N.
    longest: tokens that a response may have.
    rounds: how often.
  """
  model = ending_after(model)
  tokens = np.full((len(lengths), 64), 7, np.int32)
  tokens[:, -1] = lengths
  prompts = Prompts(tokens, np.ones_like(tokens, bool), np.arange(len(tokens)))
  sampler = policy_sampler(
    model, max_response=longest, stop_ids=(STOP,), pad_id=0
  )
  loaded = sampler.load(model.init(jax.random.key(0)))
  sample = functools.partial(
    sampler.sample, loaded, samples=1, sampling=Sampling(temperature=1.0)
  )

  def in_waves(key):
    return [
      sample(jax.tree.map(lambda x, i=i: x[i : i + slots], prompts), key)
      for i in range(0, len(lengths), slots)
    ]

  forms = {
    'waves': in_waves,
    'refilled': lambda key: [sample(prompts, key, at_a_time=slots)],
  }
  found = {name: [] for name in forms}
  for turn in range(rounds + 1):
    for name, form in forms.items():
      began = time.process_time()
      rollouts = jax.block_until_ready(form(jax.random.key(turn)))
      spent = time.process_time() - began
      written = [np.asarray(r.responses[1].sum(-1)).ravel() for r in rollouts]
      np.testing.assert_array_equal(np.concatenate(written), lengths)
      if turn:  # The first compiles.
        found[name].append(spent)
  return found


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('file', help='dialogues of HH, .jsonl.gz')
  parser.add_argument('--prompts', type=int, default=256)
  parser.add_argument('--slots', type=int, default=32)
  parser.add_argument('--longest', type=int, default=256)
  parser.add_argument('--rounds', type=int, default=3)
  options = parser.parse_args()
  if not os.path.isfile(options.file):
    parser.error(f'there is no file {options.file}; name one of HH as jsonl.gz')
  lengths = lengths_of(options.file, options.prompts, options.longest)
  print(f'{lengths.mean():.0f} tokens a response, at most {lengths.max()}')
  found = seconds_of(
    language_model(presets.small_text(VOCABULARY)),
    lengths,
    slots=options.slots,
    longest=options.longest,
    rounds=options.rounds,
  )
  for name, seconds in found.items():
    shown = ' '.join(f'{s:.2f}' for s in sorted(seconds))
    print(f'{name:<10}{statistics.median(seconds):7.2f} s   [{shown}]')


if __name__ == '__main__':
  main()
