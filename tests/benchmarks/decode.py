"""Tokens per second of sampling, by how the next token is drawn.

Run: python -m tests.benchmarks.decode              (the sandbox; a minute)
     python -m tests.benchmarks.decode --preset small_text --vocabulary 4096 \
         --prompts 16 --samples 4 --prompt-length 128 --response-length 128

All responses run to their full length, so that every form does the same work.
The forms take turns; the median over the turns is shown, by the clock and in
processor time, which other work on the machine disturbs less.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlhf_jax.generation import Sampling, greedy, gumbel, inverse_cdf, sample
from rlhf_jax.models import language_model, presets
from rlhf_jax.types import Prompts

FORMS = {
  'inverse of the sum': Sampling(temperature=0.7, draw=inverse_cdf),
  'gumbel': Sampling(temperature=0.7, draw=gumbel),
  'greedy': Sampling(draw=greedy),
  'top-k 20': Sampling(temperature=0.7, top_k=20),
  'top-p 0.9': Sampling(temperature=0.7, top_p=0.9),
  'top-p 0.9 of 20': Sampling(temperature=0.7, top_p=0.9, top_k_bound=20),
}


def random_prompts(options: argparse.Namespace) -> Prompts:
  """Prompts of half the length to all of it, padded on the left."""
  tokens_key, lengths_key = jax.random.split(jax.random.key(0))
  shape = (options.prompts, options.prompt_length)
  lengths = jax.random.randint(
    lengths_key, shape[:1], (shape[1] + 1) // 2, shape[1] + 1
  )
  columns = jnp.arange(shape[1])[None]
  return Prompts(
    tokens=jax.random.randint(tokens_key, shape, 0, options.vocabulary),
    attention_mask=columns >= shape[1] - lengths[:, None],
    index=jnp.arange(shape[0]),
  )


def measure(
  forms: dict[str, Callable], turns: int
) -> dict[str, tuple[float, float]]:
  """Median seconds of each form, by the clock and of the processor."""
  times = {name: [] for name in forms}
  for turn in range(turns + 1):
    for name, form in forms.items():
      clock, processor = time.perf_counter(), time.process_time()
      jax.block_until_ready(form(jax.random.key(turn)))
      spent = time.perf_counter() - clock, time.process_time() - processor
      if turn:  # The first compiles.
        times[name].append(spent)
  return {
    name: tuple(map(statistics.median, zip(*spent, strict=True)))
    for name, spent in times.items()
  }


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--preset', default='sandbox', help='of models.presets')
  parser.add_argument('--vocabulary', type=int, default=64)
  parser.add_argument('--prompts', type=int, default=128)
  parser.add_argument('--samples', type=int, default=1, help='per prompt')
  parser.add_argument('--prompt-length', type=int, default=10)
  parser.add_argument('--response-length', type=int, default=24)
  parser.add_argument('--turns', type=int, default=20)
  options = parser.parse_args()

  model = language_model(getattr(presets, options.preset)(options.vocabulary))
  params = model.init(jax.random.key(0))
  forms = {
    name: functools.partial(
      sample,
      model,
      params,
      random_prompts(options),
      samples=options.samples,
      max_response=options.response_length,
      sampling=sampling,
      stop_ids=(),
      pad_id=0,
    )
    for name, sampling in FORMS.items()
  }
  tokens = options.prompts * options.samples * options.response_length
  print(f'{"":20} {"tokens/s":>10} {"ms":>9} {"processor ms":>13}')
  for name, (clock, processor) in measure(forms, options.turns).items():
    print(
      f'{name:20} {tokens / clock:10,.0f} {1e3 * clock:9.1f} '
      f'{1e3 * processor:13.1f}'
    )


if __name__ == '__main__':
  main()
