"""Asking whoever scores text, and what it means that a response has no score.

A reward, a judge or a checker may fail on a response: it says None or NaN (a
time-out, no answer to parse), or a number that is not finite. That response
has no score, which is NaN from here on, and is left out wherever scores decide
something: it is not preferred, not best, not learnt from. Where the whole call
fails, or answers for other responses than it was asked about, nobody can say
which score is whose, and the run stops.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rlhf_jax.types import Prompt, Reward

LARGEST = 1e16  # Float32 holds 10⁶ of its squares; a larger score is none.


class ScoringError(ValueError):
  """Somebody who was asked about responses failed: who, and on what."""


def ask(
  reward: Reward | Callable[..., np.ndarray],
  prompts: Sequence[Prompt],
  *responses: Sequence[str],
) -> np.ndarray:
  """What a reward says of responses, or a judge of one beside another.

  Args:
    reward: (prompts, responses) -> [N] numbers, None where it has none; a judge
      takes two lists of responses.
    prompts: N.
    responses: N texts each.

  Returns:
    [N] float64 in the reward's units, NaN where there is no score.

  Raises:
    ScoringError: it raises, or gives something else than N numbers.
  """
  count = len(prompts)
  if not count:
    return np.zeros(0)
  first = f'{count} responses, the first one to {prompts[0].place}'
  try:
    given = reward(prompts, *responses)
  except Exception as error:  # Whatever anybody's reward may raise.
    raise ScoringError(
      f'{named(reward)} failed on {first}: {_said(error)}'
    ) from error
  given = np.asarray(given, object)
  if given.shape != (count,):
    raise ScoringError(
      f'{named(reward)} gave {_shape(given)} for {first}; a reward gives one '
      'number a response, None where it has none'
    )
  return np.array(
    [
      _number(x, reward, prompt)
      for x, prompt in zip(given.tolist(), prompts, strict=True)
    ],
    np.float64,
  )


def verdict(
  annotate: Callable[[Prompt, str, str, int], bool],
  prompt: Prompt,
  first: str,
  second: str,
  seed: int,
) -> bool | None:
  """Whether an annotator prefers the first of two responses.

  None where it has no verdict: it said None or NaN.

  Raises:
    ScoringError: it raises, or says something else.
  """
  try:
    said = annotate(prompt, first, second, seed)
  except Exception as error:  # Whatever anybody's annotator may raise.
    raise ScoringError(
      f'{named(annotate)} failed on two responses to {prompt.place}: '
      f'{_said(error)}'
    ) from error
  if hasattr(said, 'item') and np.ndim(said) == 0:
    said = said.item()  # Of numpy or jax.
  if said is None or (isinstance(said, float) and math.isnan(said)):
    return None
  if isinstance(said, int | float) and said in (0, 1):
    return bool(said)
  raise ScoringError(
    f'{named(annotate)} gave {said!r} for two responses to {prompt.place}; an '
    'annotator says True where the first is preferred, False where it is not, '
    'None where it cannot say'
  )


@contextlib.contextmanager
def during(what: str) -> Iterator[None]:
  """Says of a ScoringError during what it came up."""
  try:
    yield
  except ScoringError as error:
    raise ScoringError(f'{what}: {error}') from error


def named(function: Callable) -> str:
  """A function's import path, whatever is bound to it, or its type's."""
  while isinstance(function, functools.partial):
    function = function.func
  if not hasattr(function, '__qualname__'):
    function = type(function)
  return f'{function.__module__}.{function.__qualname__}'


def _number(given, reward, prompt) -> float:
  if given is None:
    return math.nan
  try:
    if isinstance(given, str):
      raise TypeError
    number = float(given)
  except (TypeError, ValueError):
    raise ScoringError(
      f'{named(reward)} gave {given!r} for a response to {prompt.place}; a '
      'reward gives one number a response, None where it has none'
    ) from None
  except OverflowError:
    return math.nan
  return number if abs(number) <= LARGEST else math.nan


def _shape(given: np.ndarray) -> str:
  if given.ndim == 0:
    return f'a single {type(given.item()).__name__}'
  if given.ndim == 1:
    return f'{len(given)} scores'
  return f'scores of shape {given.shape}'


def _said(error: Exception) -> str:
  return f'{type(error).__name__}: {error}' if str(error) else repr(error)
