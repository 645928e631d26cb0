"""How often one policy's responses are better than another's.

Credits [N] are what a judge gave A on each row, in [0, 1], NaN where there is
no verdict; the win rate is their mean, as a fraction. Rows of the same prompt
are not independent, and every interval here allows for it.

Source: Li et al. 2023 (AlpacaEval); Dubois et al. 2023 (AlpacaFarm).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import judges, statistics
from rlhf_jax.evaluation.judges import Judge, credits_from_scores
from rlhf_jax.evaluation.samples import (
  PolicySamples,
  check_aligned,
  prompt_groups,
)
from rlhf_jax.types import Prompt


class MissingVerdictsError(ValueError):
  """Too many pairs went unjudged for a win rate to mean anything."""


class WinRate(NamedTuple):
  """A win rate as a fraction.

  Attributes:
    value: mean credit of the rows that were judged.
    standard_error: of the value.
    low: lower end of the 95 % interval (`statistics.share`).
    high: upper end.
    count: rows judged.
    prompts: distinct prompts among them.
    ties: rows among them with credit ½.
    missing: rows without a verdict, which count for nothing.
  """

  value: float
  standard_error: float
  low: float
  high: float
  count: int
  prompts: int
  ties: int
  missing: int


def credits(
  samples: PolicySamples, reference: PolicySamples, judge: Judge | str
) -> np.ndarray:
  """[N] credits of `samples` against `reference`, row by row.

  Byte-identical responses tie without the judge being asked.

  Args:
    samples: A's responses.
    reference: B's, to the same prompts.
    judge: who is asked; or 'gold' or 'score', where the higher one wins.
  """
  check_aligned(samples, reference)
  pairs = zip(samples.responses, reference.responses, strict=True)
  same = np.array([a == b for a, b in pairs])
  if isinstance(judge, str):
    scores = getattr(samples, judge), getattr(reference, judge)
    return np.where(same, 0.5, credits_from_scores(*scores))
  result, rows = np.full(same.size, 0.5), np.flatnonzero(~same)
  if rows.size:
    result[rows] = judges.ask(
      judge,
      [samples.prompts[row] for row in rows],
      [samples.responses[row] for row in rows],
      [reference.responses[row] for row in rows],
    )
  return result


def estimate(
  credits: np.ndarray,
  prompts: Sequence[Prompt],
  *,
  most_missing: float = 0.05,
) -> WinRate:
  """The win rate of credits [N], missing verdicts left out.

  Args:
    credits: [N] in [0, 1], NaN for no verdict.
    prompts: N prompts; rows of an equal prompt are one cluster.
    most_missing: the largest share without a verdict that is let pass.

  Raises:
    MissingVerdictsError: where more are missing, or all are.
  """
  credits = np.asarray(credits, float)
  found = ~np.isnan(credits)
  if np.any(found & ((credits < 0) | (credits > 1))):
    raise ValueError('credits must lie in [0, 1]; 1 is a win, 0 a loss')
  missing = int(np.sum(~found))
  if missing > most_missing * credits.size or missing == credits.size:
    raise MissingVerdictsError(
      f'{missing} of {credits.size} pairs have no verdict, more than the '
      f'{most_missing:.0%} let pass; mend the judge or raise most_missing'
    )
  groups = prompt_groups(prompts)[found]
  judged = credits[found]
  ties = int(np.sum(judged == 0.5))
  share = statistics.share(judged, groups)
  return WinRate(
    *share,
    count=judged.size,
    prompts=len(np.unique(groups)),
    ties=ties,
    missing=missing,
  )


def by_kind(
  credits: np.ndarray, prompts: Sequence[Prompt]
) -> dict[str, WinRate]:
  """The win rate on each kind of prompt, in order of the kinds' names.

  Missing verdicts are counted here and not refused, since the whole's are; a
  kind without any verdict is left out.
  """
  credits = np.asarray(credits, float)
  kinds = np.array([prompt.kind for prompt in prompts])
  result = {}
  for kind in sorted(set(kinds.tolist())):
    rows = np.flatnonzero(kinds == kind)
    if not np.all(np.isnan(credits[rows])):
      chosen = [prompts[row] for row in rows]
      result[kind] = estimate(credits[rows], chosen, most_missing=1.0)
  return result


def pool(
  credits: Sequence[np.ndarray], prompts: Sequence[Sequence[Prompt]]
) -> statistics.Estimate:
  """One win rate from several runs (seeds), each run counting the same.

  Runs are the outer level: their spread is in the interval, whatever the
  number of prompts. Where all runs were judged on the same prompts the
  prompts' share of the error is kept too (`statistics.pool_crossed`); a
  prompt without a verdict in any one run is left out. Otherwise each run's
  mean is one observation, with S − 1 degrees of freedom.

  Args:
    credits: of each of S ≥ 2 runs, [N_s].
    prompts: of each run, N_s prompts; several samples of a prompt average.
  """
  if len(credits) < 2:
    raise ValueError('pooling needs at least two runs; this one has no peer')
  tables = [_prompt_means(c, p) for c, p in zip(credits, prompts, strict=True)]
  if any(set(table) != set(tables[0]) for table in tables):
    judged = [np.array(list(table.values())) for table in tables]
    judged = [means[~np.isnan(means)] for means in judged]
    if not all(means.size for means in judged):
      raise MissingVerdictsError('one of the runs has no verdict at all')
    means = np.array([means.mean() for means in judged])
    return statistics.mean(means, np.arange(means.size))
  cells = np.array([[table[key] for key in tables[0]] for table in tables])
  whole = cells[:, ~np.isnan(cells).any(axis=0)]
  if whole.shape[1] < 2:
    raise MissingVerdictsError('fewer than two prompts have all verdicts')
  return statistics.pool_crossed(whole)


def _prompt_means(credits, prompts):
  """{messages: mean credit over its samples, NaN where none was judged}."""
  rows = {}
  for credit, prompt in zip(credits, prompts, strict=True):
    rows.setdefault(prompt.messages, []).append(float(credit))
  judged = {k: [c for c in v if not np.isnan(c)] for k, v in rows.items()}
  return {k: float(np.mean(v)) if v else np.nan for k, v in judged.items()}
