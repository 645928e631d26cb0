"""A policy's answers to a benchmark against another's: rates, table, page."""

import importlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import (
  agreement,
  length_control,
  pages,
  statistics,
  tables,
  win_rate,
)
from rlhf_jax.evaluation.agreement import Position
from rlhf_jax.evaluation.blocks import Block, Heading, Image, Table, Text
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.evaluation.side_by_side import Answers
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.win_rate import WinRate
from rlhf_jax.types import Prompt

# What the win rate at equal length is fitted to: with difficulties, copies.
RESTS_ON = {
  (False, False): 'by lengths alone',
  (True, False): 'with difficulties',
  (False, True): 'with copies',
  (True, True): 'with difficulties and copies',
}
PLOTS = ('win_rates.png', 'credit_by_length.png')
MOST_GROUPS, LEAST_IN_GROUP = 8, 10  # Of pairs of about one gap in length.
SHOWN = 3  # Prompts with their answers, where a page cannot search.


class Judged(NamedTuple):
  """N answers of a policy, set against another's to the same prompts.

  Attributes:
    prompts: N.
    own: N answers of the policy.
    other: N of the other one.
    credits: [N] of the policy's by a judge, NaN without a verdict.
    people: [N] the same by people, or None where none were asked.
    shown: [N, 2] what the judge said of the policy's answer when it was shown
      first, and second, NaN where it was not asked, as of equal answers; None
      where that is not known.
  """

  prompts: Sequence[Prompt]
  own: Sequence[str]
  other: Sequence[str]
  credits: np.ndarray
  people: np.ndarray | None = None
  shown: np.ndarray | None = None


class Rates(NamedTuple):
  """How often the policy wins.

  Attributes:
    judge: by the judge.
    equal_length: what that would be at equal length, or None.
    rests_on: what that is fitted to, in words.
    unknown: why there is none, '' where there is.
    people: by people, on what they judged, or None.
    discrete: by the judge, a verdict above ½ being a win and below a loss.
    position: how the order of answers sways the judge.
    characters: of an answer of the policy, and of the other one.
  """

  judge: WinRate
  equal_length: Estimate | None = None
  rests_on: str = ''
  unknown: str = ''
  people: WinRate | None = None
  discrete: Estimate | None = None
  position: Position = Position(None, None)
  characters: tuple[Estimate, ...] = ()


def rates(
  found: Judged,
  *,
  difficulties: np.ndarray | None = None,
  copies: Sequence[length_control.Copies] = (),
  most_missing: float = 0.05,
) -> dict[str, Rates]:
  """{'all' and, where there are several, each kind of prompt: its rates}.

  Args:
    found: what was judged.
    difficulties: [N] of the prompts, as of `length_control.win_rate`.
    copies: of the other policy's answers, as there.
    most_missing: as of `win_rate.estimate`; people may leave out any share.

  Raises:
    MissingVerdictsError: as of `win_rate.estimate`, of the judge's verdicts.
  """
  prompts = found.prompts
  whole = win_rate.estimate(found.credits, prompts, most_missing=most_missing)
  controlled, unknown = None, ''
  try:
    controlled = length_control.win_rate(
      found.credits,
      length_gaps(found),
      prompts,
      difficulties=difficulties,
      copies=copies,
    )
  except length_control.NotIdentifiedError as error:
    unknown = str(error)
  rests_on = RESTS_ON[difficulties is not None, bool(copies)]
  by_people, people = {}, None
  if found.people is not None:
    people = win_rate.estimate(found.people, prompts, most_missing=1.0)
    by_people = win_rate.by_kind(found.people, prompts)
  whole = Rates(whole, controlled, rests_on, unknown, people)
  result = {'all': _described(whole, found, np.arange(len(prompts)))}
  kinds = np.array([prompt.kind for prompt in prompts])
  if len(set(kinds.tolist())) > 1:
    for kind, rate in win_rate.by_kind(found.credits, prompts).items():
      result[kind or 'of no kind'] = _described(
        Rates(rate, people=by_people.get(kind)),
        found,
        np.flatnonzero(kinds == kind),
      )
  return result


def _described(rate: Rates, found: Judged, rows: np.ndarray) -> Rates:
  """A rate of some rows with what is to be known beside it."""
  prompts = [found.prompts[row] for row in rows]
  groups, credits = prompt_groups(prompts), found.credits[rows]
  judged = ~np.isnan(credits)
  verdicts = agreement.verdicts(credits[judged])
  lengths = [
    np.array([len(texts[row]) for row in rows], float)
    for texts in (found.own, found.other)
  ]
  return rate._replace(
    discrete=statistics.share(verdicts, groups[judged]),
    position=(
      Position(None, None)
      if found.shown is None
      else agreement.position(found.shown[rows], prompts)
    ),
    characters=tuple(statistics.mean(x, groups) for x in lengths),
  )


def alike(found: Judged) -> Estimate | None:
  """How often the judge and people prefer the same; None of no such pair.

  Of pairs on which both have a verdict, ties being one too.
  """
  if found.people is None:
    return None
  both = ~np.isnan(found.credits) & ~np.isnan(found.people)
  if not both.any():
    return None
  verdicts = [
    agreement.verdicts(x[both]) for x in (found.credits, found.people)
  ]
  same = (verdicts[0] == verdicts[1]).astype(float)
  return statistics.share(same, prompt_groups(found.prompts)[both])


def table(found: Mapping[str, Rates]) -> tables.Table:
  """A line for all questions and for each kind; people beside the judge."""
  columns = {
    'questions': lambda name, r: name,
    'wins': lambda name, r: tables.interval(r.judge),
  }
  if found['all'].people is not None:
    columns |= {
      'wins by people': lambda name, r: tables.interval(r.people),
      'n of people': lambda name, r: str(r.people.count if r.people else '–'),
    }
  columns |= {
    f'at equal length, {found["all"].rests_on}': lambda name, r: (
      tables.interval(r.equal_length)
    ),
    'n': lambda name, r: str(r.judge.count),
    'ties': lambda name, r: str(r.judge.ties or '–'),
    'no verdict': lambda name, r: str(r.judge.missing or '–'),
  }
  return tables.of(found, columns)


def beside(found: Mapping[str, Rates], other: str) -> tables.Table:
  """What is to be known of the rates, a line a kind: order and lengths.

  Args:
    found: as of `rates`.
    other: the name of the policy that was held against.
  """
  columns = {
    'questions': lambda name, r: name,
    'wins, verdicts rounded': lambda name, r: tables.interval(r.discrete),
    'same in both orders': lambda name, r: tables.interval(r.position.same),
    'for the first': lambda name, r: tables.interval(r.position.first),
    'characters': lambda name, r: tables.with_error(r.characters[0], '.0f'),
    f'characters of {other}': lambda name, r: tables.with_error(
      r.characters[1], '.0f'
    ),
  }
  return tables.of(found, columns)


def by_gap(found: Judged) -> tuple[np.ndarray, list[Estimate]]:
  """Mean length gaps of groups of pairs, and the win rate of each.

  At most eight groups, equally large, in order of the gap; pairs of one gap
  are in one group.
  """
  judged = np.flatnonzero(~np.isnan(found.credits))
  gaps = length_gaps(found)[judged]
  count = int(np.clip(judged.size // LEAST_IN_GROUP, 1, MOST_GROUPS))
  ends = np.quantile(gaps, np.arange(1, count) / count)
  group = np.searchsorted(ends, gaps, side='right')
  means, rates = [], []
  for number in np.unique(group):
    rows = judged[group == number]
    groups = prompt_groups([found.prompts[row] for row in rows])
    means.append(gaps[group == number].mean())
    rates.append(statistics.share(found.credits[rows], groups))
  return np.array(means), rates


def length_gaps(found: Judged) -> np.ndarray:
  """[N] characters by which the policy's answers are longer."""
  pairs = zip(found.own, found.other, strict=True)
  return np.array([len(a) - len(b) for a, b in pairs], float)


def draw(
  folder: pathlib.Path,
  found: Judged,
  rates: Mapping[str, Rates],
  names: tuple[str, str],
) -> list[Block]:
  """Writes the plots into a folder; the blocks that show them on its page.

  Without matplotlib there are none, and a sentence says so.
  """
  try:
    plots = importlib.import_module('rlhf_jax.evaluation.plots')
  except ImportError:
    return [Text(pages.NO_PLOTS)]
  own, other = _told_apart(names)
  kinds = {k: r.judge for k, r in rates.items() if k != 'all'}
  whole = {plots.ALL: rates['all'].judge}
  plots.win_rates_by_kind(folder / PLOTS[0], {own: whole | kinds}, other)
  plots.credits_by_gap(folder / PLOTS[1], *by_gap(found), other)
  return [
    Image(PLOTS[0], 'Win rates by subset, with their intervals'),
    Image(PLOTS[1], 'Win rate by how much longer the answers are'),
  ]


def _told_apart(names: tuple[str, str]) -> tuple[str, str]:
  """The names of the two policies, told apart."""
  own, other = names
  return (own, other) if own != other else (own, f'{other} (2)')


def page(
  found: Judged,
  rates: Mapping[str, Rates],
  names: tuple[str, str],
  benchmark: str,
  sentences: Sequence[str],
  drawn: Sequence[Block] = (),
) -> list[Block]:
  """The page: the tables, plots, and the answers side by side.

  Args:
    found: what was judged.
    rates: of it.
    names: of the policy, and of the other one.
    benchmark: whose questions were asked.
    sentences: on who judged, and how.
    drawn: as of `draw`.
  """
  own, other = _told_apart(names)
  samples = {
    own: _samples(own, found.prompts, found.own),
    other: _samples(other, found.prompts, found.other),
  }
  credits = {own: found.credits}
  return [
    Heading(f'{own} against {other} on {benchmark}', 1),
    *map(Text, sentences),
    Table(table(rates)),
    Table(beside(rates, other)),
    *drawn,
    Heading('Answers'),
    Answers(samples, list(samples), other, credits, SHOWN),
  ]


def _samples(name, prompts, texts) -> PolicySamples:
  """Answers of which the text alone is known."""
  unknown = np.full(len(texts), np.nan)
  ended = np.ones(len(texts), bool)
  return PolicySamples(
    name=name, prompts=prompts, responses=texts, lengths=unknown, ended=ended
  )
