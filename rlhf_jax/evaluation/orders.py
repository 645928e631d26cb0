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

  @functools.wraps(judge, updated=())
  def asked(prompts, first, second):
    return both(judge, prompts, first, second).mean(axis=1)

  return asked


def strict(judge: Judge) -> Judge:
  """Asks in both orders: a win or loss counts only if it was one twice.

  Otherwise it is a tie; NaN where one order has no verdict.
  """

  @functools.wraps(judge, updated=())
  def asked(prompts, first, second):
    credits = both(judge, prompts, first, second)
    won, lost = (credits > 0.5).all(axis=1), (credits < 0.5).all(axis=1)
    decided = np.where(won, 1.0, np.where(lost, 0.0, 0.5))
    return np.where(np.isnan(credits).any(axis=1), np.nan, decided)

  return asked


def drawn(judge: Judge, *, seed: int = 0) -> Judge:
  """Asks once, in an order drawn for the pair, whichever way it is given."""

  @functools.wraps(judge, updated=())
  def asked(prompts, first, second):
    turn = turned(prompts, first, second, seed=seed)
    shown = turn_round(first, second, turn)
    credits = judges.ask(judge, prompts, *shown)
    return np.where(turn, 1.0 - credits, credits)

  return asked


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
