"""In which order a judge is shown the two responses of a pair.

A judge that leans to what it is shown first is asked in both orders, and what
it says of the two is averaged, or counts where it says the same twice; or the
order is drawn, which costs half.

Source: Zheng et al. 2023 (both orders); Dubois et al. 2023 (a drawn one).
"""

import functools
from collections.abc import Sequence

import numpy as np

from rlhf_jax.evaluation import judges
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.feedback.drawing import uniform
from rlhf_jax.types import Prompt


def both(
  judge: Judge,
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
) -> np.ndarray:
  """[N, 2] credits of the first responses: shown first, and shown second."""
  shown_first = judges.ask(judge, prompts, first, second)
  shown_second = 1.0 - judges.ask(judge, prompts, second, first)
  return np.stack([shown_first, shown_second], axis=1)


def averaged(judge: Judge) -> Judge:
  """Asks in both orders: the mean of the two credits, NaN where one is."""
  return _reduced(judge, mean)


def strict(judge: Judge) -> Judge:
  """Asks in both orders: a win or loss counts only if it was one twice.

  Otherwise it is a tie; NaN where one order has no verdict.
  """
  return _reduced(judge, twice)


def mean(shown: np.ndarray) -> np.ndarray:
  """[N] means of credits [N, 2] in two orders, NaN where one is."""
  return shown.mean(axis=1)


def twice(shown: np.ndarray) -> np.ndarray:
  """[N] wins and losses that credits [N, 2] in two orders are; else ties."""
  won, lost = (shown > 0.5).all(axis=1), (shown < 0.5).all(axis=1)
  decided = np.where(won, 1.0, np.where(lost, 0.0, 0.5))
  return np.where(np.isnan(shown).any(axis=1), np.nan, decided)


def _reduced(judge, to_one):
  @functools.wraps(judge, updated=())
  def asked(prompts, first, second):
    return to_one(both(judge, prompts, first, second))

  return asked


def drawn(judge: Judge, *, seed: int = 0) -> Judge:
  """Asks once, in an order drawn for the pair, whichever way it is given."""

  @functools.wraps(judge, updated=())
  def asked(prompts, first, second):
    return known(once(judge, prompts, first, second, seed=seed))

  return asked


def once(
  judge: Judge,
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
  *,
  seed: int = 0,
) -> np.ndarray:
  """[N, 2] as of `both`, each pair asked in one drawn order: NaN in the other.

  Where the pair has no verdict both are.
  """
  turn = turned(prompts, first, second, seed=seed)
  credits = judges.ask(judge, prompts, *turn_round(first, second, turn))
  shown = np.full((len(turn), 2), np.nan)
  shown[~turn, 0], shown[turn, 1] = credits[~turn], 1.0 - credits[turn]
  return shown


def known(shown: np.ndarray) -> np.ndarray:
  """[N] credits of [N, 2] in that order of which there is one."""
  return np.where(np.isnan(shown[:, 0]), shown[:, 1], shown[:, 0])


def turned(
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
  *,
  seed: int = 0,
) -> np.ndarray:
  """[N] bool: which pairs `drawn` shows the other way round."""
  rows = zip(prompts, first, second, strict=True)
  turn = [
    (uniform(seed, p, min(a, b), max(a, b)) < 0.5) != (a <= b)
    for p, a, b in rows
  ]
  return np.array(turn, bool)


def turn_round(
  first: Sequence[str], second: Sequence[str], turn: np.ndarray
) -> tuple[list[str], list[str]]:
  """The two columns, those rows changed over that [N] bool `turn` names."""
  rows = zip(first, second, turn, strict=True)
  shown = [(b, a) if change else (a, b) for a, b, change in rows]
  return [a for a, _ in shown], [b for _, b in shown]
