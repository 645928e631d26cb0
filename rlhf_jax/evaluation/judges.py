"""Who says which of two responses is better.

A judge gives every pair the first response's credit: 1 for a win, 0 for a
loss, ½ for a tie, anything between for a probability, and NaN where no
verdict could be had. It may be slow and may be noisy; `win_rate.credits` does
not ask it about identical responses.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np

from rlhf_jax import progress
from rlhf_jax.data.ahead import chunks
from rlhf_jax.feedback import scoring
from rlhf_jax.types import Prompt, Reward

# (N prompts, N responses of A, N of B) -> [N] credits of A.
Judge = Callable[[Sequence[Prompt], Sequence[str], Sequence[str]], np.ndarray]


def ask(
  judge: Judge,
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
) -> np.ndarray:
  """[N] credits of the first of two responses, each in [0, 1] or NaN.

  Raises:
    ScoringError: as of `scoring.ask`; or a credit is no number from 0 to 1.
  """
  credits = scoring.ask(judge, prompts, first, second)
  for row in np.flatnonzero((credits < 0) | (credits > 1))[:1]:
    pair = ' and '.join(repr(text[row][:40]) for text in (first, second))
    raise scoring.ScoringError(
      f'{scoring.named(judge)} gave {credits[row]:g} for a pair of responses '
      f'to {prompts[row].place}, {pair}; {scoring.A_JUDGE_GIVES}'
    )
  return credits


def credits_from_scores(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Credits [N] of the first of two scores [N] each; of a NaN score, NaN."""
  first, second = np.asarray(first, float), np.asarray(second, float)
  verdicts = np.where(first == second, 0.5, first > second)
  return np.where(np.isnan(first) | np.isnan(second), np.nan, verdicts)


def by_reward(reward: Reward, *, tie: float = 0.0) -> Judge:
  """The response with the higher score wins: by gold, a model, a program.

  Args:
    reward: (prompts, responses) -> [N] scores.
    tie: a gap of scores that is none yet, in reward units.
  """

  @functools.wraps(reward, updated=())
  def judge(prompts, responses_a, responses_b):
    first, second = (
      scoring.ask(reward, prompts, responses)
      for responses in (responses_a, responses_b)
    )
    near = np.abs(first - second) <= tie
    return credits_from_scores(first, np.where(near, first, second))

  return judge


def scored_once(reward: Reward) -> Reward:
  """A reward that remembers: no response to a prompt is put to it twice.

  So a judge by it that is asked about every two of some responses, in both
  orders, reads each of them once.
  """
  return _remembering(reward, lambda new: [new] if new else [])


def longer(
  prompts: Sequence[Prompt],
  responses_a: Sequence[str],
  responses_b: Sequence[str],
) -> np.ndarray:
  """The response of more characters wins: a baseline that reads nothing."""
  del prompts
  return credits_from_scores(
    [len(text) for text in responses_a], [len(text) for text in responses_b]
  )


def asked_once(judge: Judge, *, out: TextIO, at_a_time: int = 32) -> Judge:
  """A judge that remembers: no pair is put to it twice, in the same order.

  So a pair that counts for a policy and for a claim has one verdict, though
  the judge may be noisy, and is paid for once.

  Args:
    judge: that is asked.
    out: where it is shown how far it is.
    at_a_time: pairs that it is given at a time.
  """

  def in_parts(new):
    return progress.track(
      chunks(new, at_a_time),
      'judging',
      len(new),
      out=out,
      unit='pair',
      each=at_a_time,
    )

  return _remembering(judge, in_parts)


def _remembering(function, in_parts):
  """A reward or judge that is asked about new rows alone, in parts of them."""
  known = {}

  @functools.wraps(function, updated=())
  def remembering(*columns):
    rows = list(zip(*columns, strict=True))
    new = [row for row in dict.fromkeys(rows) if row not in known]
    for part in in_parts(new):
      said = scoring.ask(function, *map(list, zip(*part, strict=True)))
      known.update(zip(part, said, strict=True))
    return np.array([known[row] for row in rows])

  return remembering
