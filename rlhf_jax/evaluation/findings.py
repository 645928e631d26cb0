"""All that was measured of an experiment, for its report."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.evaluation.claims import Contrast
from rlhf_jax.evaluation.likelihoods import Likelihood
from rlhf_jax.evaluation.preference_accuracy import HeldOut, PairMetrics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.evaluation.summary import Summary

Curves = Mapping[str, Sequence[float]]


class Findings(NamedTuple):
  """What a report is made of.

  Attributes:
    title: the report's first line.
    seed: of the run.
    background: what is known of the claims beyond this run.
    policies: {name: its numbers}, from `summary.summarise`.
    samples: {name: what the policy answered}.
    contrasts: {the claim in words: what was found of it}.
    curves: {stage: {metric: one number a row}}, the steps in 'step'.
    reward_curves: {policy: its checkpoints}.
    reward_models: {(reward model, whose pairs): how it did on them}.
    fitted_rewards: names among those of reward models that are no stage's.
    held_out: {stage: how its policy tells held-out pairs}, of those that
      learnt from pairs.
    likelihoods: {policy: how likely held-out demonstrations are to it}.
    learnt_from: {policy: the reward that trained it}, by name.
    notes: sentences on what is to be kept in mind: what was left out.
    made: how it was made, a line of Markdown each: command, settings, devices.
    stages: those that made it, a line of Markdown each, with their times.
  """

  title: str
  policies: Mapping[str, Summary]
  samples: Mapping[str, PolicySamples]
  seed: int | None = None
  background: str = ''
  contrasts: Mapping[str, Contrast] = {}
  curves: Mapping[str, Curves] = {}
  reward_curves: Mapping[str, RewardCurve] = {}
  reward_models: Mapping[tuple[str, str], PairMetrics] = {}
  fitted_rewards: Sequence[str] = ()
  held_out: Mapping[str, HeldOut] = {}
  likelihoods: Mapping[str, Likelihood] = {}
  learnt_from: Mapping[str, str] = {}
  notes: Sequence[str] = ()
  made: Sequence[str] = ()
  stages: Sequence[str] = ()

  @property
  def against(self) -> str:
    """The policy that win rates are against."""
    return next(iter(self.policies.values())).against

  def telling_pairs(self) -> dict[tuple[str, str], PairMetrics]:
    """The rows of reward models that matter most.

    On the pairs of the policy that all are compared with, on those of the
    policies that it trained, and on held-out pairs; of fitted rewards, which
    bound them, on those of the first policy that learnt from a reward alone.
    """
    first = next(iter(self.learnt_from), self.against)
    return {
      (model, pairs): metrics
      for (model, pairs), metrics in self.reward_models.items()
      if (
        pairs == first
        if model in self.fitted_rewards
        else pairs == self.against
        or pairs not in self.policies
        or self.learnt_from.get(pairs) == model
      )
    }
