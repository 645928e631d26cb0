"""Claim: the newest bag alone forgets what its prompts do not ask for.

Two rounds of rejection sampling, each from SFT anew: the first asks about
numbers, the second about words. Its policy is trained on its own bag alone, or
on the archive of both (Touvron et al. 2023, §3.2.3: later versions rhymed worse
until the archive was brought in). Holds if the archive beats the newest bag,
and, in the win rates by kind, on numbers (sum, difference, compare).
Run: python -m launch.seeds experiments/llama2/forgetting.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_choosing import rejection_rounds
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods.rejection_sampling import archive, newest, of_kinds

Settings = sandbox_chain.Settings
NUMBERS = functools.partial(of_kinds, kinds=('sum', 'difference', 'compare'))
WORDS = functools.partial(of_kinds, kinds=('list', 'letter', 'opposite'))


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= rejection_rounds(settings, [1.0], asks=NUMBERS, name='numbers')
  for name, kept in {'newest': newest, 'archive': archive}.items():
    stages |= rejection_rounds(
      settings,
      [1.0],
      kept=kept,
      asks=WORDS,
      earlier=['numbers_1_bag'],
      policy='numbers_1',
      name=name,
    )
  return sandbox_chain.experiment(
    settings,
    title='What rejection sampling forgets',
    stages=stages,
    contrasts={
      'the archive beats the newest bag': ('archive_2', 'newest_2'),
      'the archive beats the round before': ('archive_2', 'numbers_1'),
      'the round before beats the newest bag': ('numbers_1', 'newest_2'),
    },
  )
