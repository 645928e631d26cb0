"""Simulated annotators: many judges who share the pairs, and err.

One judge that always says the same lets a policy learn its taste; a pool of
different ones, with noise, is nearer to people.

Source: Dubois et al. 2023 (AlpacaFarm), §3.2.
"""

import functools
from collections.abc import Sequence

import numpy as np

from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.feedback import scoring
from rlhf_jax.feedback.drawing import uniform
from rlhf_jax.types import Prompt

SEED = 0  # Of who judges what, and of coins.


def pool(judges: Sequence[Judge]) -> Judge:
  """Each prompt's pairs go to one of the judges, drawn by the prompt's hash."""
  judges = tuple(judges)
  if not judges:
    raise ValueError('a pool of annotators needs at least one judge')

  def pooled(prompts, first, second):
    places = shared_out(len(judges), prompts)
    return _in_parts(judges, places, prompts, first, second)

  return pooled


def shared_out(count: int, prompts: Sequence[Prompt]) -> list[int]:
  """Which of `count` judges of a pool each prompt's pairs go to."""
  return [int(count * uniform(SEED, prompt)) for prompt in prompts]


def with_flips(judge: Judge, *, flips: float) -> Judge:
  """A share of verdicts is turned round, as training labels have it.

  2 · `flips` of the pairs are decided by a coin and not put to the judge; half
  of these agree with what it would have said. A pair has the same chance, and
  the same winner, in either order.

  Args:
    judge: asked about the other pairs.
    flips: share of verdicts that are turned round, in [0, 0.5]; theirs 0.25.
  """
  check_flips(flips)

  def coin(prompts, first, second):
    credits = []
    for prompt, a, b in zip(prompts, first, second, strict=True):
      heads = uniform(SEED, prompt, min(a, b), max(a, b), 'coin') < 0.5
      credits.append(float(heads == (a <= b)))
    return np.array(credits)

  @functools.wraps(judge, updated=())
  def flipping(prompts, first, second):
    places = by_coin(prompts, first, second, flips=flips)
    return _in_parts((judge, coin), places, prompts, first, second)

  return flipping


def by_coin(
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
  *,
  flips: float,
) -> list[bool]:
  """Which of N pairs `with_flips` decides by a coin."""
  return [
    uniform(SEED, prompt, min(a, b), max(a, b)) < 2.0 * flips
    for prompt, a, b in zip(prompts, first, second, strict=True)
  ]


def check_flips(flips: float) -> None:
  """Refuses a share of verdicts that cannot be turned round.

  Raises:
    ValueError: it is not from 0 to 0.5.
  """
  if not 0.0 <= flips <= 0.5:
    raise ValueError(f'flips must be a share from 0 to 0.5, got {flips}')


def _in_parts(judges, places, prompts, first, second):
  """[N] credits, each row's by the judge at its place."""
  credits, places = np.zeros(len(places)), np.array(places, int)
  for place, judge in enumerate(judges):
    rows = np.flatnonzero(places == place)
    shown = [[column[i] for i in rows] for column in (prompts, first, second)]
    credits[rows] = scoring.ask(judge, *shown)
  return credits
