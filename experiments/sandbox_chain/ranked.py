"""Pairs of ranked samples in the sandbox: RSO's, SLiC's, and their rivals."""

import functools
from collections.abc import Callable
from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from experiments.sandbox_chain.pairs import DPO_RATE, tuned
from rlhf_jax import sandbox
from rlhf_jax.feedback import judging
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import candidates, ranker, rso, slic

# RSO's, each on every set of PAIRS, and the first on OTHER_PAIRS too.
LOSSES = {
  'sigmoid_norm': functools.partial(pairwise.dpo, beta=0.1),
  'hinge_norm': functools.partial(pairwise.hinge_norm, beta=0.1),
  'hinge': functools.partial(pairwise.hinge, beta=0.1),
}
PAIRS = {'direct': 'preferences', 'sft': 'sft_pairs', 'rso': 'rso_pairs'}
OTHER_PAIRS = {
  'ranker': 'ranker_pairs',
  'written': 'comparisons',
  'relabelled': 'relabelled_pairs',
}


def ranker_stages(settings: Settings) -> Stages:
  """{'ranker'}: reads both responses of an annotated pair."""
  return ranker.stages(ranker.Config(**tuned(settings, 2e-3)))


def rso_pair_stages() -> Stages:
  """'sft_pairs', 'rso_pairs', 'ranker_pairs': of 32 samples to each prompt.

  The first eight samples, eight that rejection sampling accepts, and these
  ranked by the ranker in place of the reward model.
  """
  pairs = functools.partial(rso.Pairs, samples=32)
  by_ranker = pairs(judge=judging.by_ranker)
  return (
    rso.pair_stages(pairs())
    | rso.pair_stages(pairs(select=rso.first), name='sft_pairs')
    | rso.pair_stages(by_ranker, judge='ranker', name='ranker_pairs')
  )


def relabelled_stages() -> Stages:
  """{'relabelled_pairs'}: the preferences, labelled by the reward model."""
  return candidates.stages(
    candidates.Config(samples=0),
    data='preferences',
    policy=None,
    name='relabelled_pairs',
  )


def rso_arms(settings: Settings) -> Stages:
  """'{loss}_{pairs}': every loss on every set of pairs, at DPO's rate."""
  arms = [(loss, pairs) for loss in LOSSES for pairs in PAIRS]
  arms += [('sigmoid_norm', pairs) for pairs in OTHER_PAIRS]
  values = tuned(settings, DPO_RATE)
  stages: dict[str, Any] = {}
  for loss, pairs in arms:
    stages |= rso.stages(
      rso.Config(objective=LOSSES[loss], **values),
      data=(PAIRS | OTHER_PAIRS)[pairs],
      name=f'{loss}_{pairs}',
    )
  return stages


def slic_pair_stages(
  settings: Settings, anchor: Callable[..., str | None]
) -> Stages:
  """{'slic_pairs_{anchor}'}: of eight samples, thrice as many as preferences.

  The anchor, which is imitated, is `slic.demonstrated` or `slic.best_sampled`.
  """
  config = slic.Pairs(count=3 * settings.pairs, target=anchor)
  return slic.pair_stages(config, name=f'slic_pairs_{anchor.__name__}')


def compared_stages(settings: Settings) -> Stages:
  """{'compared_pairs'}: preferences, with their prompt's demonstration."""
  annotated = functools.partial(
    judging.by_annotator, annotate=sandbox.Annotator().annotate
  )
  config = slic.Pairs(
    samples=2,
    judge=annotated,
    pair=slic.tournament,
    count=settings.pairs,
    sampling=Sampling(temperature=1.0),
  )
  return slic.pair_stages(config, name='compared_pairs')
