"""Pairs in the sandbox of authors whose strength is known, and no annotator.

A record has the strong author's response first, then the medium's, the weak's.
"""

import functools
from collections.abc import Callable
from typing import Any

from experiments.sandbox_chain import pairs
from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax.data import curriculum as curricula
from rlhf_jax.data.curriculum import Curriculum
from rlhf_jax.methods import curriculum, sft
from rlhf_jax.training.optimizers import constant

PAIRS = {
  'strong_weak_pairs': ((0, 2),),
  'strong_medium_pairs': ((0, 1),),
  'all_pairs': ((0, 2), (0, 1), (1, 2)),
}

# A rate that falls would weigh what comes first more than what comes last.
dpo_stages = functools.partial(pairs.dpo_stages, decay=constant)


def pair_stages() -> Stages:
  """'strong_weak_pairs', 'strong_medium_pairs', 'all_pairs'."""
  stages: dict[str, Any] = {}
  for name, which in PAIRS.items():
    stages |= curriculum.stages(curriculum.Config(pairs=which), name=name)
  return stages


def strong_sft_stages(settings: Settings, rate: float) -> Stages:
  """'sft_strong_{rate}': more SFT, on the strong author's text."""
  return sft.stages(
    sft.Config(**pairs.tuned(settings, rate)),
    data='strong_demonstrations',
    start='sft',
    name=f'sft_strong_{rate}',
  )


def fixed_stages(settings: Settings, *, after: str) -> Stages:
  """'dpo_strong_weak', 'dpo_strong_medium', and other ways to learn the first.

  Labels that are always the same way round ask for more restraint: with β 1
  'dpo_beta_1_strong_weak', and from the policy `after` 'dpo_after_strong_weak'.
  """
  far = {'data': 'strong_weak_pairs'}
  restrained = functools.partial(dpo_stages, settings, beta=1.0, **far)
  return (
    dpo_stages(settings, **far, name='dpo_strong_weak')
    | dpo_stages(settings, data='strong_medium_pairs', name='dpo_strong_medium')
    | restrained(name='dpo_beta_1_strong_weak')
    | restrained(start=after, name='dpo_after_strong_weak')
    | pairs.slic_stages(settings, **far, name='slic_strong_weak')
  )


def ordered_stages(
  settings: Settings, mix: Callable[..., Any], *, name: str
) -> Stages:
  """{name}: DPO on far pairs and near ones, in an order of `data.curriculum`.

  Far pairs are two tiers apart, near ones one.
  """
  level = functools.partial(curricula.by_gap, edges=(2.0,))
  return dpo_stages(
    settings,
    data='all_pairs',
    curriculum=Curriculum(level=level, mix=mix),
    name=name,
  )
