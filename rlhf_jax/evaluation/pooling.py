"""One experiment over several seeds: pooled.json, and a page to read.

Seeds are runs of the same experiment. Both seeds and prompts are random, so an
interval covers both (`statistics.pool_crossed`); with a single seed it covers
the prompts alone, and says nothing of what another seed would give.
"""

import contextlib
import importlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax import progress
from rlhf_jax.evaluation import (
  claims,
  foremost,
  legends,
  length_control,
  pages,
  report,
  tables,
  win_rate,
)
from rlhf_jax.evaluation.blocks import (
  Folded,
  Heading,
  Image,
  Items,
  Table,
  Text,
)
from rlhf_jax.evaluation.claims import Contrast
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.evaluation.samples import (
  PolicySamples,
  common_scores,
  found,
  prompt_groups,
)
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.summary import judged_by
from rlhf_jax.storage import files

# What the page alone shows of policies.
ON_PAGE_ALONE = ('wins at equal length', 'score', 'scored by')
# Of one seed, {policy: what it answered}.
Answers = Mapping[str, PolicySamples]


class PooledPolicy(NamedTuple):
  """A policy over all seeds; None where it was not, or could not be, measured.

  Attributes:
    win_rate: against the reference; None for the reference itself.
    by_seed: the win rate of each seed.
    length_controlled: the win rate at equal length, each seed one observation;
      of a single seed, bootstrapped over prompts.
    gold: reward units.
    score: in the units of the reward that scored it.
    scored_by: which that is; '' where it is not known.
    kl: nats per response from the reference.
    length: tokens per response.
    ended: share of responses that closed with end-of-text.
  """

  win_rate: Estimate | None
  by_seed: tuple[float, ...]
  length_controlled: Estimate | None
  gold: Estimate | None
  score: Estimate | None
  scored_by: str
  kl: Estimate | None
  length: Estimate
  ended: float


class Pooled(NamedTuple):
  """An experiment over several seeds.

  Attributes:
    seeds: those that are pooled.
    against: the policy that win rates are against.
    judge: 'gold' or 'score', whose scores decide the win rates, 'judge' where
      somebody is asked, or None.
    judged_by: the same in words.
    policies: {name: its numbers}.
    contrasts: {the claim in words: what is found}.
    prompts: distinct prompts of the first seed.
  """

  seeds: tuple[int, ...]
  against: str
  judge: str | None
  judged_by: str | None
  policies: Mapping[str, PooledPolicy]
  contrasts: Mapping[str, Contrast]
  prompts: int


def pool(
  samples: Mapping[int, Answers],
  *,
  against: str = 'sft',
  contrasts: Mapping[str, tuple[str, str]] | None = None,
  gold: str | None = None,
  learnt_from: Mapping[str, str] | None = None,
  judge: Judge | None = None,
) -> Pooled:
  """Pools what every seed's policies answered.

  Gold decides where all that is compared has it, otherwise the reward that
  scored all of it, otherwise nobody.

  Args:
    samples: {seed: {policy: its answers}}, the same policies in every seed.
    against: the policy that win rates are against.
    contrasts: {the claim in words: (better, worse)}.
    gold: what gives the gold reward, by name.
    learnt_from: {policy: the reward that trained it}, by name.
    judge: who decides in place of the scores.

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
  judged = [run[name] for run in runs for name in runs[0]]
  scores = common_scores(judged)
  return Pooled(
    seeds=tuple(samples),
    against=against,
    judge='judge' if judge else scores,
    judged_by=judged_by(
      judge or scores, list(runs[0].values()), gold, learnt_from or {}
    ),
    policies={
      name: _policy(runs, name, against, judge or scores) for name in runs[0]
    },
    contrasts={
      claim: claims.contrast(runs, *pair, judge)
      for claim, pair in (contrasts or {}).items()
    },
    prompts=len(set(prompt_groups(runs[0][against].prompts))),
  )


def write(
  out: pathlib.Path,
  pooled: Pooled,
  *,
  title: str,
  notes: Sequence[str] = (),
  made: Sequence[str] = (),
  width: int = progress.LINE,
) -> str:
  """Writes OUT/pooled.json, OUT/pooled.md, pooled.html and their plot.

  Args:
    out: a folder, made if it is not there.
    pooled: what was found.
    title: the page's first line.
    notes: sentences for the page to carry besides: seeds that are missing.
    made: lines on how the runs were made, for the page's end.
    width: letters in a line of the tables for the console.

  Returns:
    The tables for the console, several lines.
  """
  files.make_folder(out)
  files.write_json(out / 'pooled.json', report.plain(pooled))
  said, scores = [legend(pooled), *notes], legends.scores(pooled.policies)
  policies, by_seed = policy_rows(pooled), seed_rows(pooled)
  first, rest = pages.of_policies(
    policies, pooled.contrasts, pooled.against, scores
  )
  page = [
    Heading(title, 1),
    *pages.outcome(pooled.contrasts),
    *first,
    *map(Text, said),
    draw(out, pooled),
    rest,
  ]
  if by_seed:
    page.append(Folded('The claims, seed by seed', [Table(by_seed)]))
  if made:
    page += [Heading('How it was made'), Items(made)]
  report.write_page(out, 'pooled', page)
  _, short = tables.parted(policies, ON_PAGE_ALONE)
  console = [tables.fitted(short, width)]
  if pooled.contrasts:
    lines = claims.sentences(pooled.contrasts)
    console.append(report.sentences(lines, width))
  if by_seed:
    console.append(tables.fitted(by_seed, width))
  said = filter(None, (scores, *said))
  console += [report.sentences([line], width) for line in said]
  return '\n\n'.join(console)


def seed_rows(pooled: Pooled) -> tables.Table:
  """A row a claim: the win rate of each seed. Empty of a single seed."""
  rows = claims.rows(pooled.contrasts)
  if not rows or 'by seed' not in rows[0]:
    return []
  return tables.parted(rows, ['by seed'])[0]


def draw(out: pathlib.Path, pooled: Pooled) -> Image | Text:
  """Draws the win rates. Returns what shows them, or why nothing does."""
  rates = {n: p.win_rate for n, p in pooled.policies.items() if p.win_rate}
  groups = foremost.win_rates(rates, pooled.contrasts, pooled.against)
  if not groups:
    return Text('')
  try:
    plots = importlib.import_module('rlhf_jax.evaluation.plots')
  except ImportError:
    return Text(pages.NO_PLOTS)
  plots.win_rates(out / 'pooled_win_rates.png', groups)
  return Image('pooled_win_rates.png', 'Win rates with their intervals')


def policy_rows(pooled: Pooled) -> tables.Table:
  """One row a policy."""
  columns = {
    'policy': lambda name, p: name,
    f'wins against {pooled.against}': lambda name, p: tables.interval(
      p.win_rate
    ),
    'wins at equal length': lambda name, p: tables.interval(
      p.length_controlled
    ),
    **tables.measure_columns(pooled.policies),
    'by seed': lambda name, p: tables.each(p.by_seed),
  }
  return tables.of(pooled.policies, columns)


def legend(pooled: Pooled) -> str:
  """What the tables' numbers are, and what their intervals cover."""
  judged = f'judged by {pooled.judged_by or "nobody"}'
  return (
    f'{claims.covers(pooled.seeds)} {pooled.prompts} prompts, {judged}. Win '
    'rates are fractions with 95 % intervals, a tie counting half; ± is a '
    f'standard error. {legends.units(pooled.policies, pooled.judged_by)} A '
    'claim holds where the whole interval lies above one half, and does not '
    'where it lies below.' + _untold(pooled)
  )


def _untold(pooled):
  """Of which policies there is no win rate at equal length, and why."""
  names = [
    name
    for name, policy in pooled.policies.items()
    if policy.win_rate is not None and policy.length_controlled is None
  ]
  if not names:
    return ''
  return (
    f' The win rate of {", ".join(names)} at equal length cannot be told: in '
    'a seed one side is always the longer or always wins, or length tells who '
    'wins.'
  )


def _policy(runs, name, against, judge):
  mine = [run[name] for run in runs]
  theirs = [run[against] for run in runs]
  rate, by_seed, controlled = None, (), None
  if judge is not None and name != against:
    pairs = list(zip(mine, theirs, strict=True))
    credits = [win_rate.credits(*pair, judge) for pair in pairs]
    rate, by_seed = claims.pooled_rate(credits, mine)
    if rate is not None:
      gaps = [length_control.length_gaps(*pair) for pair in pairs]
      prompts = [samples.prompts for samples in mine]
      with contextlib.suppress(length_control.NotIdentifiedError):
        controlled = length_control.pooled_win_rate(credits, gaps, prompts)

  def mean(field):
    if not all(found(s, field).any() for s in mine):
      return None
    return claims.pooled_mean([getattr(s, field) for s in mine], mine)

  return PooledPolicy(
    win_rate=rate,
    by_seed=by_seed,
    length_controlled=controlled,
    gold=mean('gold'),
    score=mean('score'),
    scored_by=mine[0].scored_by or '',
    kl=mean('kl'),
    length=mean('lengths'),
    ended=float(np.mean([np.mean(s.ended) for s in mine])),
  )
