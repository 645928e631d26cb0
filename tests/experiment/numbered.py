"""Stages on numbered examples; their metrics name those of every batch.

Example i says word i alone, whose id is i. `common` holds the first COMMON of
them and `rare` the others.
"""

import dataclasses
import math

import jax.numpy as jnp

from rlhf_jax.data import Corpus, Limits, Mixture, orders, templates, tokens
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods import sft
from rlhf_jax.models import TransformerConfig
from rlhf_jax.types import Demonstration, Mean, Message, Prompt

COMMON, RARE, ROWS = 160, 40, 8
WORDS = tuple(f'w{i}' for i in range(COMMON + RARE))
LONGEST = 9  # Words of a prompt, and of a response.


def example(number):
  """Of the word of this number, now more of it and now less."""
  asked, said = (1 + number * step % LONGEST for step in (4, 5))
  prompt = Prompt((Message('user', ' '.join([WORDS[number]] * asked)),))
  return Demonstration(prompt, ' '.join([WORDS[number]] * said))


def as_many_words(prompts, responses):
  """The longer, the better."""
  del prompts
  return [float(len(said.split())) for said in responses]


@dataclasses.dataclass(frozen=True)
class Numbered:
  """The source of the examples."""

  def fingerprint(self):
    return 'numbered'

  def load(self, folder):
    del folder
    every = list(map(example, range(len(WORDS))))
    return Corpus(
      tokens.word_level(WORDS),
      templates.PLAIN,
      {
        'common': every[:COMMON],
        'rare': every[COMMON:],
        'test_prompts': [one.prompt for one in every[:4]],
      },
      gold=as_many_words,
    )


def update(state, frozen, batch, key, *, models, optimizer, config):
  """A step of SFT, with the number of each row's example as a metric."""
  state, metrics = sft.update(
    state, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
  numbers = jnp.min(
    batch.tokens, axis=1, where=batch.attention_mask, initial=len(WORDS)
  )
  rows = {f'row_{k}': Mean.of(number) for k, number in enumerate(numbers)}
  return state, metrics | rows


@dataclasses.dataclass(frozen=True)
class Settings:
  """Of the test.

  Attributes:
    steps: of each stage.
  """

  steps: int = 300


def config(settings):
  learnt = sft.Config(steps=settings.steps, batch_size=ROWS)
  mixture = Mixture(
    weights={'common': 0.75, 'rare': 0.25}, temperature=math.inf
  )
  stages = sft.stages(
    learnt, name='alike', data='common', order=orders.of_like_length
  ) | sft.stages(learnt, name='mixed', data=('common', 'rare'), mixture=mixture)
  return Experiment(
    seed=0,
    data=Numbered(),
    model=TransformerConfig(
      vocab_size=len(WORDS) + 2,
      layers=1,
      width=8,
      heads=1,
      kv_heads=1,
      head_width=8,
      mlp_width=16,
    ),
    limits=Limits(
      max_prompt_tokens=LONGEST,
      max_response_tokens=LONGEST + 1,
      buckets=(2 * LONGEST + 1,),
    ),
    stages={
      name: stage._replace(update=update, log_every=1, checkpoint_every=7)
      for name, stage in stages.items()
    },
    evaluation=Evaluation(against='alike', batch_size=4),
  )
