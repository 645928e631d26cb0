"""Claims that one policy is better than another, and what was found of them.

Each is decided by a win rate and its 95 % interval, over one seed or several.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import statistics, tables, win_rate
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.evaluation.samples import (
  PolicySamples,
  common_scores,
  prompt_groups,
)
from rlhf_jax.evaluation.statistics import Estimate

# Verdicts in a sentence, of one claim and of several.
SPOKEN = {
  'holds': ('holds', 'hold'),
  'does not': ('does not', 'do not'),
  'undecided': ('is undecided', 'are undecided'),
  'not judged': ('is not judged', 'are not judged'),
}


class Contrast(NamedTuple):
  """A claim that one policy is better than another, over all seeds.

  Attributes:
    better: the policy that is claimed to be better.
    worse: the other.
    judge: 'gold', 'score' or 'judge', or None where nobody could judge.
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


def contrast(
  runs: Sequence[Mapping[str, PolicySamples]],
  better: str,
  worse: str,
  judge: Judge | None = None,
) -> Contrast:
  """What the answers of every seed say of a claim.

  Args:
    runs: {policy: its answers} of each seed.
    better: the policy that is claimed to be better.
    worse: the other.
    judge: who decides; where None, the scores that all of them have.
  """
  mine, theirs = ([run[name] for run in runs] for name in (better, worse))
  pairs = list(zip(mine, theirs, strict=True))
  scores = common_scores([*mine, *theirs])
  rate, by_seed, gain = None, (), None
  if judge or scores:
    rate, by_seed = pooled_rate(
      [win_rate.credits(*pair, judge or scores) for pair in pairs], mine
    )
  if scores == 'gold':
    with np.errstate(invalid='ignore'):  # ∞ − ∞ is no gain, and left out.
      gaps = [a.gold - b.gold for a, b in pairs]
    gain = pooled_mean(gaps, mine)
  who = 'judge' if judge else scores
  return Contrast(better, worse, who, rate, by_seed, gain, verdict(rate))


def verdict(rate: Estimate | None) -> str:
  """What the interval of a win rate says of the claim to be better."""
  if rate is None:
    return 'not judged'
  if rate.low > 0.5:
    return 'holds'
  return 'does not' if rate.high < 0.5 else 'undecided'


def pooled_rate(
  credits: Sequence[np.ndarray], samples: Sequence[PolicySamples]
) -> tuple[Estimate | None, tuple[float, ...]]:
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
    pooled = win_rate.pool(credits, [s.prompts for s in samples])
    return statistics.within_unit(pooled), by_seed
  except win_rate.MissingVerdictsError:
    return None, ()


def pooled_mean(
  values: Sequence[np.ndarray], samples: Sequence[PolicySamples]
) -> Estimate | None:
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


def rows(contrasts: Mapping[str, Contrast]) -> tables.Table:
  """One row a claim."""
  columns = {
    'claim': lambda claim, c: claim,
    'verdict': lambda claim, c: c.verdict,
    'better wins': lambda claim, c: tables.interval(c.win_rate),
    'gold gained': lambda claim, c: tables.interval(c.gold_gain),
    'policies': lambda claim, c: f'{c.better} against {c.worse}',
    'by seed': lambda claim, c: tables.each(c.by_seed),
  }
  return tables.of(contrasts, columns)


def sentences(contrasts: Mapping[str, Contrast]) -> list[str]:
  """A sentence a claim: whether it holds, by which win rate."""
  found = []
  for claim, c in contrasts.items():
    said = f'**{claim}**: {c.verdict}'
    if c.win_rate is not None:
      said += f'; {c.better} wins {percent(c.win_rate)} against {c.worse}'
    if c.gold_gain is not None:
      said += f', {tables.interval(c.gold_gain)} in gold'
    found.append(f'{said}.')
  return found


def counted(contrasts: Mapping[str, Contrast]) -> str:
  """'Of 12 claims 3 hold, 4 do not, 5 are undecided.'"""
  found = collections.Counter(c.verdict for c in contrasts.values())
  said = ', '.join(
    f'{found[verdict]} {words[found[verdict] > 1]}'
    for verdict, words in SPOKEN.items()
    if found[verdict]
  )
  return f'Of {len(contrasts)} claims {said}.'


def rates(
  contrasts: Mapping[str, Contrast],
) -> dict[tuple[str, str], Estimate]:
  """{(better, worse): its win rate}, of the claims that were judged."""
  return {
    (c.better, c.worse): c.win_rate
    for c in contrasts.values()
    if c.win_rate is not None
  }


def percent(rate: Estimate) -> str:
  """'68 % [64, 72]', or the number alone where it has no interval.

  Rounded as tables have it: what is 0.45 there is 45 % here.
  """
  ends = (rate.low, rate.high)
  rounded = (float(f'{each:.2f}') for each in (rate.value, *ends))
  value, low, high = (f'{100 * each:.0f}' for each in rounded)
  if not np.isfinite(ends).all():
    return f'{value} %'
  return f'{value} % [{low}, {high}]'


def covers(seeds: Sequence[int]) -> str:
  """What intervals are of: of one seed they say nothing of another."""
  if len(seeds) == 1:
    return (
      f'Seed {seeds[0]} alone: intervals cover the choice of prompts only, not '
      'what another seed would give; `python -m launch.seeds` runs several.'
    )
  numbers = ', '.join(map(str, seeds))
  return f'Seeds {numbers}: intervals cover seeds and prompts.'
