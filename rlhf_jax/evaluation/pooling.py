"""One experiment over several seeds: each policy pooled, each claim decided.

Seeds are runs of the same experiment. Both seeds and prompts are random, so an
interval covers both (`statistics.pool_crossed`); with a single seed it covers
the prompts alone, and says nothing of what another seed would give.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

from rlhf_jax.evaluation import length_control, statistics, win_rate
from rlhf_jax.evaluation.samples import (
  PolicySamples,
  check_aligned,
  prompt_groups,
)
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.summary import common_scores, found

# Of one seed, {policy: what it answered}.
Answers = Mapping[str, PolicySamples]


class Policy(NamedTuple):
  """A policy over all seeds; None where it was not, or could not be, measured.

  Attributes:
    win_rate: against the reference; None for the reference itself.
    by_seed: the win rate of each seed.
    length_controlled: the win rate at equal length, each seed one observation;
      of a single seed, bootstrapped over prompts.
    gold_reward: reward units.
    proxy_reward: reward units of the learnt reward model.
    kl: nats per response from the reference.
    length: tokens per response.
    ended: share of responses that closed with end-of-text.
  """

  win_rate: Estimate | None
  by_seed: tuple[float, ...]
  length_controlled: Estimate | None
  gold_reward: Estimate | None
  proxy_reward: Estimate | None
  kl: Estimate | None
  length: Estimate
  ended: float


class Contrast(NamedTuple):
  """A claim that one policy is better than another, over all seeds.

  Attributes:
    better: the policy that is claimed to be better.
    worse: the other.
    judge: 'gold' or 'proxy', or None where nobody could judge.
    win_rate: of better against worse, row by row.
    by_seed: the win rate of each seed.
    gold_gain: better's gold reward less worse's, in reward units.
    verdict: 'holds' where the win rate's interval lies above one half, 'does
      not' where below, else 'undecided'; 'not judged' where nobody could.
  """

  better: str
  worse: str
  judge: str | None
  win_rate: Estimate | None
  by_seed: tuple[float, ...]
  gold_gain: Estimate | None
  verdict: str


class Pooled(NamedTuple):
  """An experiment over several seeds.

  Attributes:
    seeds: those that are pooled.
    against: the policy that win rates are against.
    judge: 'gold' or 'proxy', or None: whose scores decide the win rates.
    policies: {name: its numbers}.
    contrasts: {the claim in words: what is found}.
    prompts: distinct prompts of the first seed.
  """

  seeds: tuple[int, ...]
  against: str
  judge: str | None
  policies: Mapping[str, Policy]
  contrasts: Mapping[str, Contrast]
  prompts: int


def pool(
  samples: Mapping[int, Answers],
  *,
  against: str = 'sft',
  contrasts: Mapping[str, tuple[str, str]] | None = None,
) -> Pooled:
  """Pools what every seed's policies answered.

  Gold decides where all that is compared has it, otherwise the learnt reward
  model; of policies that learnt from different reward models the latter's
  scores are not comparable.

  Args:
    samples: {seed: {policy: its answers}}, the same policies in every seed.
    against: the policy that win rates are against.
    contrasts: {the claim in words: (better, worse)}.

  Raises:
    ValueError: there is no seed, or a policy is missing from one.
  """
  if not samples:
    raise ValueError('there is no seed to pool; run at least one')
  runs = list(samples.values())
  named = [name for pair in (contrasts or {}).values() for name in pair]
  for seed, run in samples.items():
    for name in (against, *runs[0], *named):
      if name not in run:
        raise ValueError(
          f'seed {seed} has no samples of {name!r}; there are {", ".join(run)}'
        )
  judge = common_scores([run[name] for run in runs for name in runs[0]])
  return Pooled(
    seeds=tuple(samples),
    against=against,
    judge=judge,
    policies={name: _policy(runs, name, against, judge) for name in runs[0]},
    contrasts={
      claim: _contrast(runs, *pair) for claim, pair in (contrasts or {}).items()
    },
    prompts=len(set(prompt_groups(runs[0][against].prompts))),
  )


def verdict(rate: Estimate | None) -> str:
  """What the interval of a win rate says of the claim to be better."""
  if rate is None:
    return 'not judged'
  if rate.low > 0.5:
    return 'holds'
  return 'does not' if rate.high < 0.5 else 'undecided'


def _policy(runs, name, against, judge):
  mine = [run[name] for run in runs]
  theirs = [run[against] for run in runs]
  rate, by_seed, controlled = None, (), None
  if judge is not None and name != against:
    credits = _credits(judge, mine, theirs)
    rate, by_seed = _rate(credits, mine)
    if rate is not None:
      controlled = _length_controlled(credits, mine, theirs)

  def mean(field):
    if not all(found(s, field).any() for s in mine):
      return None
    return _mean([getattr(s, field) for s in mine], mine)

  return Policy(
    win_rate=rate,
    by_seed=by_seed,
    length_controlled=controlled,
    gold_reward=mean('gold'),
    proxy_reward=mean('proxy'),
    kl=mean('kl'),
    length=mean('lengths'),
    ended=float(np.mean([np.mean(s.ended) for s in mine])),
  )


def _contrast(runs, better, worse):
  mine, theirs = ([run[name] for run in runs] for name in (better, worse))
  judge = common_scores([*mine, *theirs])
  rate, by_seed, gain = None, (), None
  if judge is not None:
    rate, by_seed = _rate(_credits(judge, mine, theirs), mine)
  if judge == 'gold':
    for pair in zip(mine, theirs, strict=True):
      check_aligned(*pair)
    with np.errstate(invalid='ignore'):  # ∞ − ∞ is no gain, and left out.
      gaps = [a.gold - b.gold for a, b in zip(mine, theirs, strict=True)]
    gain = _mean(gaps, mine)
  return Contrast(better, worse, judge, rate, by_seed, gain, verdict(rate))


def _credits(judge, mine, theirs):
  """Of each seed, the credits of mine against theirs."""
  pairs = zip(mine, theirs, strict=True)
  return [win_rate.credits_by(judge, a, b) for a, b in pairs]


def _rate(credits, samples):
  """The pooled win rate, and each seed's; none where verdicts are missing."""
  try:
    # Each seed's own estimate also refuses too many missing verdicts.
    each = [
      win_rate.estimate(c, s.prompts)
      for c, s in zip(credits, samples, strict=True)
    ]
    by_seed = tuple(rate.value for rate in each)
    if len(each) == 1:
      return Estimate(*each[0][:4]), by_seed
    return win_rate.pool(credits, [s.prompts for s in samples]), by_seed
  except win_rate.MissingVerdictsError:
    return None, ()


def _mean(values, samples):
  """The pooled mean of numbers in any unit, one array a seed.

  What is not finite is left out, and with it, of several seeds, its prompt;
  None where that leaves too few.
  """
  values = [np.where(np.isfinite(v), v, np.nan) for v in values]
  if len(values) == 1:
    rows = ~np.isnan(values[0])
    if not rows.any():
      return None
    groups = prompt_groups(samples[0].prompts)
    return statistics.mean(values[0][rows], groups[rows])
  try:
    return win_rate.pool(values, [s.prompts for s in samples])
  except win_rate.MissingVerdictsError:
    return None


def _length_controlled(credits, mine, theirs):
  gaps = [
    length_control.length_gaps(a, b) for a, b in zip(mine, theirs, strict=True)
  ]
  if len(credits) == 1:
    return length_control.win_rate(credits[0], gaps[0], mine[0].prompts)
  logits = []
  for credit, gap in zip(credits, gaps, strict=True):
    found = ~np.isnan(credit)
    weights = np.ones((1, found.sum()))
    logits.append(length_control.fit(credit[found], gap[found], weights)[0, 0])
  return statistics.mean(special.expit(logits), np.arange(len(logits)))
