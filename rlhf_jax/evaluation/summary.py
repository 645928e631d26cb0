"""Every policy in a handful of numbers."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import length_control, statistics, win_rate
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.evaluation.samples import (
  PolicySamples,
  common_scores,
  found,
  prompt_groups,
)
from rlhf_jax.feedback import scoring


class Summary(NamedTuple):
  """One policy; None where it was not, or could not be, measured.

  Attributes:
    against: name of the policy that the win rate is against.
    judge: who judged, in words; None where nobody could.
    credits: [N] against it, row by row, NaN where there is no verdict; None for
      that policy itself, and where nobody judged.
    win_rate: against it; None for that policy itself.
    length_controlled: the win rate at equal length.
    by_kind: {kind: win rate}, empty for the reference itself.
    gold: reward units.
    score: in the units of the reward that scored it.
    scored_by: which that is; '' where it is not known.
    kl: nats per response from the starting policy.
    length: tokens per response.
    ended: share of responses that closed with end-of-text.
    prompts: distinct prompts answered.
    missing: {'gold', 'score', 'kl': responses without such a number, which
      their means leave out; 'verdict': pairs without one, where they are too
      many for a win rate}; what nothing is missing of is not named.
  """

  against: str
  judge: str | None
  credits: np.ndarray | None
  win_rate: win_rate.WinRate | None
  length_controlled: statistics.Estimate | None
  by_kind: Mapping[str, win_rate.WinRate]
  gold: statistics.Estimate | None
  score: statistics.Estimate | None
  scored_by: str
  kl: statistics.Estimate | None
  length: statistics.Estimate
  ended: float
  prompts: int
  missing: Mapping[str, int]


def summarise(
  samples: Mapping[str, PolicySamples],
  *,
  against: str = 'sft',
  judge: Judge | None = None,
  gold: str | None = None,
  learnt_from: Mapping[str, str] | None = None,
) -> dict[str, Summary]:
  """Measures every policy on the same prompts, in the order given.

  Args:
    samples: {name: what the policy answered}, row by row the same prompts.
    against: the policy that the others are compared with; one of the names.
    judge: who decides. Where None, the stored scores do: gold if every policy
      has it, otherwise one reward model's, otherwise nobody.
    gold: what gives the gold reward, by name.
    learnt_from: {policy: the reward that trained it}, by name, so that it is
      said of a judge that is one of these.
  """
  if against not in samples:
    raise ValueError(
      f'no samples of {against!r} to compare against; there are '
      f'{", ".join(samples)}'
    )
  every, reference, result = list(samples.values()), samples[against], {}
  judge = judge or common_scores(every)
  said = judged_by(judge, every, gold, learnt_from or {})
  for name, policy in samples.items():
    prompts, missing = policy.prompts, _missing(policy)
    credits, rate, controlled, by_kind = None, None, None, {}
    if name != against and judge is not None:
      credits = win_rate.credits(policy, reference, judge)
      try:
        rate = win_rate.estimate(credits, prompts)
        by_kind = win_rate.by_kind(credits, prompts)
        gaps = length_control.length_gaps(policy, reference)
        with contextlib.suppress(length_control.NotIdentifiedError):
          controlled = length_control.win_rate(credits, gaps, prompts)
      except win_rate.MissingVerdictsError:
        missing['verdict'] = int(np.isnan(credits).sum())
    result[name] = Summary(
      against=against,
      judge=said,
      credits=credits,
      win_rate=rate,
      length_controlled=controlled,
      by_kind=by_kind,
      gold=_mean(policy, 'gold'),
      score=_mean(policy, 'score'),
      scored_by=policy.scored_by or '',
      kl=_mean(policy, 'kl'),
      length=_mean(policy, 'lengths'),
      ended=float(np.mean(policy.ended)),
      prompts=len({prompt.messages for prompt in prompts}),
      missing=missing,
    )
  return result


def judged_by(
  judge: Judge | str | None,
  samples: Sequence[PolicySamples],
  gold: str | None,
  learnt_from: Mapping[str, str],
) -> str | None:
  """Who judges, in words, and whether a policy learnt from it.

  Args:
    judge: who is asked, or else what `common_scores` says.
    samples: that are judged.
    gold: what gives the gold reward, by name.
    learnt_from: {policy: the reward that trained it}, by name.
  """
  if judge is None:
    return None
  if judge == 'gold':
    return f'the gold reward{f" {gold}" if gold else ""}'
  if judge != 'score':
    return scoring.named(judge)
  name = samples[0].scored_by
  said = f'the reward {name}' if name else 'the learnt reward'
  trained = [s.name for s in samples if learnt_from.get(s.name) == name]
  if not name or not trained:
    return said
  return f'{said}, which {_listed(trained)} learnt from'


def _listed(names):
  *others, last = names
  return f'{", ".join(others)} and {last}' if others else last


def _mean(policy, field):
  """The mean of the responses that have such a number; None without any."""
  rows = found(policy, field)
  if not rows.any():
    return None
  groups = prompt_groups(policy.prompts)
  return statistics.mean(getattr(policy, field)[rows], groups[rows])


def _missing(policy):
  """{field: responses without such a number}, where a policy has the field."""
  counts = {
    field: int(np.sum(~found(policy, field)))
    for field in ('gold', 'score', 'kl')
    if getattr(policy, field) is not None
  }
  return {field: count for field, count in counts.items() if count}
