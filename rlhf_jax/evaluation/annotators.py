"""What people chose of two responses: how far they agree, and which side wins.

A pair has two responses, the first and the second, in an order that nobody who
chooses knows.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.data import fields, jsonl
from rlhf_jax.data.formats import CHOICES
from rlhf_jax.evaluation import statistics, win_rate
from rlhf_jax.evaluation.samples import prompt_groups
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.win_rate import WinRate
from rlhf_jax.storage import journal
from rlhf_jax.types import Prompt

# What is a verdict, and the credit that it gives the first response; whoever is
# unsure or skips gives none.
CREDITS = {1: 1.0, 2: 0.0, 'equal': 0.5}
# What `launch.annotate` writes of every choice.
WRITTEN = {'annotator', 'choice', 'pair', 'prompt'}


class Choice(NamedTuple):
  """What one person said of a pair.

  Attributes:
    pair: which pair it is.
    prompt: what both responses answer.
    annotator: who chose; '' where nobody had to, as the two are the same text.
    said: 1 or 2, the better response; or 'equal', 'unsure' or 'skip'.
    left: 1 or 2, the response that was shown first; None where it is not known.
    policies: whose responses they are; '' where they are no policies'.
    responses: the two texts.
  """

  pair: str
  prompt: Prompt
  annotator: str
  said: int | str
  left: int | None = None
  policies: tuple[str, str] = ('', '')
  responses: tuple[str, str] = ('', '')


class AnnotatorAgreement(NamedTuple):
  """How far people agree on the pairs that two or more of them judged.

  Attributes:
    alike: share of two people's verdicts on a pair that are the same.
    kappa: the same, less what chance gives: 0 is chance, 1 is always.
    pairs: that two or more judged.
  """

  alike: Estimate
  kappa: Estimate
  pairs: int


def read(path: str | pathlib.Path) -> list[Choice]:
  """The choices of a file that `launch.annotate` writes, or wrote.

  Raises:
    DataError: there is no file, or a line of it is none of these.
    StorageError: it cannot be read.
  """
  return of_rows(journal.read(jsonl.existing(path)), pathlib.Path(path).name)


def of_rows(rows: Sequence[Mapping[str, Any]], file: str) -> list[Choice]:
  """The choices of rows; `file` is the name of theirs.

  Raises:
    DataError: a row is none, by its number.
  """
  return [_choice(row, f'{file}:{i}') for i, row in enumerate(rows, 1)]


def _choice(given: Mapping[str, Any], where: str) -> Choice:
  if not given.keys() >= WRITTEN or isinstance(given['prompt'], str):
    raise jsonl.DataError(
      f'{where}: nobody chose here, or not by launch.annotate, which writes '
      f'{", ".join(sorted(WRITTEN))}, and messages in prompt; name a file of '
      'its own.'
    )
  with fields.placed(where):
    row = CHOICES.parse(given)
  return Choice(
    row['pair'],
    Prompt(row['prompt'], row['subset'], where),
    row['annotator'],
    row['choice'],
    row['left'],
    (row['policy_1'], row['policy_2']),
    (row['response_1'], row['response_2']),
  )


def kappa(counts: np.ndarray, groups: np.ndarray) -> tuple[Estimate, Estimate]:
  """Fleiss' kappa, of items that may have differing numbers of verdicts.

  κ = (P − Pₑ) / (1 − Pₑ): P is the mean over items of the share of two verdicts
  on it that are the same, Pₑ = Σ_c p_c², p_c the mean over items of the share
  of verdicts that say c. The interval takes Pₑ as known.

  Args:
    counts: [N, C] int, how many verdicts say c of item i, two or more a row.
    groups: [N] int, which items belong together, as of `statistics`.

  Returns:
    P with its interval, and κ with its own; κ is NaN where all say the same c.

  Source: Fleiss 1971; the interval as of Cohen 1960.
  """
  counts = np.asarray(counts, float)
  raters = counts.sum(axis=1)
  if not counts.size or raters.min() < 2:
    raise ValueError('agreement takes two or more verdicts on every item')
  same = np.sum(counts * (counts - 1), axis=1) / (raters * (raters - 1))
  alike = statistics.share(same, groups)
  by_chance = float(np.sum(np.mean(counts / raters[:, None], axis=0) ** 2))
  if by_chance == 1.0:
    return alike, Estimate(*[float('nan')] * 4)
  beyond = 1.0 - by_chance
  return alike, Estimate(
    (alike.value - by_chance) / beyond,
    alike.standard_error / beyond,
    (alike.low - by_chance) / beyond,
    (alike.high - by_chance) / beyond,
  )


def agreement(choices: Sequence[Choice]) -> AnnotatorAgreement | None:
  """How far people agree; None where no two of them judged a pair.

  Who is called the first response is arbitrary, so by chance it is chosen as
  often as the second: every pair is counted both ways round.
  """
  rows, prompts = {}, {}
  for choice in choices:
    if choice.annotator and choice.said in CREDITS:
      counts = rows.setdefault(choice.pair, [0] * len(CREDITS))
      counts[list(CREDITS).index(choice.said)] += 1
      prompts[choice.pair] = choice.prompt
  several = [pair for pair, counts in rows.items() if sum(counts) > 1]
  if not several:
    return None
  counts = np.array([rows[pair] for pair in several])
  groups = prompt_groups([prompts[pair] for pair in several])
  alike, _ = kappa(counts, groups)
  both_ways = np.concatenate([counts, counts[:, [1, 0, 2]]])
  _, beyond_chance = kappa(both_ways, np.tile(groups, 2))
  return AnnotatorAgreement(alike, beyond_chance, len(several))


def wins(choices: Sequence[Choice]) -> tuple[np.ndarray, list[Prompt]]:
  """[P] credits of the first responses, the mean of all verdicts on a pair.

  Returns:
    The credits, NaN of a pair that nobody gave a verdict on; and the prompts.
  """
  credits, prompts = {}, {}
  for choice in choices:
    given = credits.setdefault(choice.pair, [])
    prompts[choice.pair] = choice.prompt
    if choice.said in CREDITS:
      given.append(CREDITS[choice.said])
  means = [np.mean(given) if given else np.nan for given in credits.values()]
  return np.array(means, float), list(prompts.values())


def credits(
  choices: Sequence[Choice],
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
) -> np.ndarray:
  """[N] credits of the first of two responses, the mean of what people said.

  Told by their texts, in whichever order they were asked about; NaN where
  nobody has a verdict.
  """
  said = {}
  for choice in choices:
    if choice.said in CREDITS:
      a, b = (text.strip() for text in choice.responses)
      asked, credit = choice.prompt.text.strip(), CREDITS[choice.said]
      said.setdefault((asked, a, b), []).append(credit)
      said.setdefault((asked, b, a), []).append(1.0 - credit)
  keys = zip((p.text for p in prompts), first, second, strict=True)
  given = (said.get(tuple(text.strip() for text in key)) for key in keys)
  return np.array([np.mean(x) if x else np.nan for x in given], float)


def human_win_rate(choices: Sequence[Choice]) -> WinRate | None:
  """How often the first response wins, each pair counting the same.

  A pair without a verdict is left out, and counted as missing; None where none
  has one.
  """
  credits, prompts = wins(choices)
  if np.all(np.isnan(credits)):
    return None
  return win_rate.estimate(credits, prompts, most_missing=1.0)


def left_share(choices: Sequence[Choice]) -> Estimate | None:
  """How often the response that was shown first is preferred to the other.

  One half where its place matters to nobody; None where nobody preferred one.
  """
  rows = [c for c in choices if c.left is not None and c.said in (1, 2)]
  if not rows:
    return None
  first = np.array([c.said == c.left for c in rows], float)
  return statistics.share(first, prompt_groups([c.prompt for c in rows]))
