"""Every policy in a handful of numbers."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import judges, length_control, statistics, win_rate
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups

# Who judges by stored scores, best first: how a report calls them.
BY_SCORES = {
  'gold': 'the gold reward',
  'proxy': 'the learnt reward model, which is what was trained on',
}


class Summary(NamedTuple):
  """One policy; None where it was not, or could not be, measured.

  Attributes:
    against: name of the policy that the win rate is against.
    judge: who judged, in words; None where nobody could.
    win_rate: against it; None for that policy itself.
    length_controlled: the win rate at equal length.
    by_kind: {kind: win rate}, empty for the reference itself.
    gold_reward: reward units.
    proxy_reward: reward units of the learnt reward model.
    kl: nats per response from the starting policy.
    length: tokens per response.
    ended: share of responses that closed with end-of-text.
    prompts: distinct prompts answered.
  """

  against: str
  judge: str | None
  win_rate: win_rate.WinRate | None
  length_controlled: statistics.Estimate | None
  by_kind: Mapping[str, win_rate.WinRate]
  gold_reward: statistics.Estimate | None
  proxy_reward: statistics.Estimate | None
  kl: statistics.Estimate | None
  length: statistics.Estimate
  ended: float
  prompts: int


def summarise(
  samples: Mapping[str, PolicySamples],
  *,
  against: str = 'sft',
  judge: judges.Judge | None = None,
  judged_by: str = 'the given judge',
  most_missing: float = 0.05,
) -> dict[str, Summary]:
  """Measures every policy on the same prompts, in the order given.

  Args:
    samples: {name: what the policy answered}, row by row the same prompts.
    against: the policy that the others are compared with; one of the names.
    judge: who decides. Where None, the stored scores do: gold if every policy
      has it, otherwise the learnt reward model's, otherwise nobody.
    judged_by: the judge in words, for the report.
    most_missing: share of missing verdicts that is let pass.
  """
  if against not in samples:
    raise ValueError(
      f'no samples of {against!r} to compare against; there are '
      f'{", ".join(samples)}'
    )
  if judge is None:
    field = _common_scores(samples)
    judged_by = BY_SCORES.get(field)
  result = {}
  for name, policy in samples.items():
    reference = samples[against]
    credits = None
    if name != against and judge is not None:
      credits = win_rate.credits(policy, reference, judge)
    elif name != against and field is not None:
      credits = win_rate.credits_by(field, policy, reference)
    result[name] = Summary(
      against=against,
      judge=judged_by,
      **_compared(policy, reference, credits, most_missing),
      **_measured(policy),
    )
  return result


def _common_scores(samples):
  """The best scores that all policies have, or None."""
  for field in BY_SCORES:
    if all(getattr(s, field) is not None for s in samples.values()):
      return field
  return None


def _compared(policy, reference, credits, most_missing):
  """Summary's fields about the win rate; credits None where none is."""
  if credits is None:
    return {'win_rate': None, 'length_controlled': None, 'by_kind': {}}
  prompts = policy.prompts
  return {
    'win_rate': win_rate.estimate(credits, prompts, most_missing=most_missing),
    'length_controlled': length_control.win_rate(
      credits, length_control.length_gaps(policy, reference), prompts
    ),
    'by_kind': win_rate.by_kind(credits, prompts),
  }


def _measured(policy):
  """Summary's fields about the policy alone."""
  groups = prompt_groups(policy.prompts)

  def mean(values):
    return None if values is None else statistics.mean(values, groups)

  return {
    'gold_reward': mean(policy.gold),
    'proxy_reward': mean(policy.proxy),
    'kl': mean(policy.kl),
    'length': mean(policy.lengths),
    'ended': float(np.mean(policy.ended)),
    'prompts': int(groups.max()) + 1,
  }
