"""Scores of responses: by models, or by functions that read the text.

A reward, a judge or a checker may fail on a response: it gives None or NaN (a
time-out, no answer to parse), or a number that is not finite. That response has
no score, which is NaN from here on, and is left out wherever scores decide
something: it is not preferred, not best, not learnt from. Where the whole call
fails, or gives another number of scores, the run stops.
"""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax import processes
from rlhf_jax.kernels import logps
from rlhf_jax.types import (
  Comparisons,
  LanguageModel,
  Params,
  Prompt,
  Response,
  Reward,
  Rollouts,
  ScalarModel,
  Scorer,
  flatten_candidates,
)

# Token ids of N responses -> N texts, as `decode_all` of a tokenizer.
Decode = Callable[[Sequence[Sequence[int]]], Sequence[str]]
LARGEST = 1e16  # Float32 holds 10⁶ of its squares; a larger score is none.


A_JUDGE_GIVES = (
  'a judge gives one credit a pair: 1 where the first response is better, 0 '
  'where it is worse, something between where it is not sure, None or NaN '
  'where it cannot say'
)


class ScoringError(ValueError):
  """A reward or judge failed: names it, and the prompt."""


class _Due(NamedTuple):
  """What somebody who is asked gives, in words.

  Attributes:
    row: what is one of `rows`, to which a number belongs.
    numbers: what they are called.
    sentence: what is due.
  """

  row: str
  rows: str
  numbers: str
  sentence: str


_REWARD = _Due(
  'a response',
  'responses',
  'scores',
  'a reward gives one number a response, None where it has none',
)
_JUDGE = _Due(
  'a pair of responses',
  'pairs of responses',
  'credits',
  A_JUDGE_GIVES,
)


def ask(
  reward: Reward | Callable[..., np.ndarray],
  prompts: Sequence[Prompt],
  *responses: Sequence[str],
) -> np.ndarray:
  """The scores of responses by a reward, or of pairs of responses by a judge.

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
  due = _JUDGE if len(responses) > 1 else _REWARD
  first = f'{count} {due.rows}, the first one to {prompts[0].place}'
  try:
    given = reward(prompts, *responses)
  except ScoringError:  # Of a judge that asks another: it is said already.
    raise
  except Exception as error:  # Whatever anybody's reward may raise.
    if getattr(error, 'says_all', False):
      raise ScoringError(f'{named(reward)}: {error}') from error
    raise ScoringError(
      f'{named(reward)} failed on {first}: {_said(error)}'
    ) from error
  given = np.asarray(given, object)
  if given.shape != (count,):
    raise ScoringError(
      f'{named(reward)} gave {_shape(given, due)} for {first}; {due.sentence}'
    )
  return np.array(
    [
      _number(x, reward, prompt, due)
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
  """Prefixes a ScoringError with what was being done."""
  try:
    yield
  except ScoringError as error:
    raise ScoringError(f'{what}: {error}') from error


def named(function: Callable) -> str:
  """What a function calls itself, or else the import path of it or its type.

  Without its partials.
  """
  function = inspect.unwrap(function)
  while isinstance(function, functools.partial):
    function = inspect.unwrap(function.func)
  if isinstance(getattr(function, 'name', None), str):
    return function.name
  if not hasattr(function, '__qualname__'):
    function = type(function)
  return f'{function.__module__}.{function.__qualname__}'


@functools.lru_cache
def model_scorer(model: ScalarModel) -> Scorer:
  """Scores rollouts by the reward model whose parameters are frozen['reward'].

  Of several scores the model's first counts.
  """

  @jax.jit
  def score(params, tokens, attention_mask):
    return model.scores(params, tokens, attention_mask)[:, 0]

  def scorer(
    frozen: Mapping[str, Params], rollouts: Rollouts | Comparisons
  ) -> chex.Array:
    flat = flatten_candidates((rollouts.tokens, rollouts.attention_mask))
    scores = score(frozen['reward'], *flat)
    return scores.reshape(rollouts.tokens.shape[:2])

  return scorer


@functools.lru_cache
def implicit_scorer(
  policy: LanguageModel, reference: LanguageModel, *, beta: float
) -> Scorer:
  """Scores rollouts by a policy: β · (its log-prob − the reference's).

  Of whole responses, at temperature 1. frozen['reward'] has the parameters of
  both, {'policy', 'reference'}, and perhaps a 'scale' {'factor' [], 'shift' []}
  that scores are multiplied with, and what is added to them.

  Source: Rafailov et al. 2023, eq. 5.
  """

  @jax.jit
  def score(params, rollouts):
    own = logps.response_logps(policy, params['policy'], rollouts)
    kept = logps.response_logps(reference, params['reference'], rollouts)
    scores = beta * (own - kept)
    if 'scale' not in params:
      return scores
    return params['scale']['factor'] * scores + params['scale']['shift']

  def scorer(
    frozen: Mapping[str, Params], rollouts: Rollouts | Comparisons
  ) -> chex.Array:
    return score(frozen['reward'], rollouts)

  return scorer


@functools.lru_cache
def ensemble_scorer(
  members: tuple[Scorer, ...], combine: Callable[[chex.Array], chex.Array]
) -> Scorer:
  """Scores rollouts by several scorers, whose scores are combined.

  Args:
    members: E scorers; frozen['reward'] has the parameters of each, in order.
    combine: scores [E, B, K] -> [B, K].
  """

  @jax.jit
  def combined(scores):
    return combine(jnp.stack(scores))

  def scorer(
    frozen: Mapping[str, Params], rollouts: Rollouts | Comparisons
  ) -> chex.Array:
    each = zip(members, frozen['reward'], strict=True)
    return combined([score({'reward': own}, rollouts) for score, own in each])

  return scorer


def text_scorer(
  reward: Reward, records: Sequence[Prompt], decode: Decode
) -> Scorer:
  """Scores the decoded text: a program that checks an answer, or a judge.

  Args:
    reward: (prompts, responses) -> [N]; a response without a score has NaN.
    records: the dataset that rollouts' `index` points into, modulo its size.
    decode: token ids of the responses -> their texts.
  """

  def scorer(frozen: Mapping[str, Params], rollouts: Rollouts) -> chex.Array:
    del frozen
    batch, samples = rollouts.tokens.shape[:2]
    prompts = [
      records[i % len(records)]
      for i in processes.on_host(rollouts.index)
      for _ in range(samples)
    ]
    texts = [t for row in response_texts(rollouts, decode) for t in row]
    scores = jnp.asarray(ask(reward, prompts, texts), jnp.float32)
    return scores.reshape(batch, samples)

  return scorer


def response_texts(rollouts: Rollouts, decode: Decode) -> list[list[Response]]:
  """The text of every response, and whether it ended: B lists of K."""
  tokens, mask = processes.on_host(rollouts.responses)
  ended = processes.on_host(rollouts.ended)
  written = iter(
    decode(
      [
        row[keep].tolist()
        for candidates in zip(tokens, mask, strict=True)
        for row, keep in zip(*candidates, strict=True)
      ]
    )
  )
  return [
    [Response(next(written), ended=one) for one in candidates]
    for candidates in ended
  ]


def _number(given, reward, prompt, due) -> float:
  if given is None:
    return math.nan
  try:
    if isinstance(given, str):
      raise TypeError
    number = float(given)
  except (TypeError, ValueError):
    raise ScoringError(
      f'{named(reward)} gave {given!r} for {due.row} to {prompt.place}; '
      f'{due.sentence}'
    ) from None
  except OverflowError:
    return math.nan
  return number if abs(number) <= LARGEST else math.nan


def _shape(given: np.ndarray, due: _Due) -> str:
  if given.ndim == 0:
    return f'a single {type(given.item()).__name__}'
  if given.ndim == 1:
    return f'{len(given)} {due.numbers}'
  return f'{due.numbers} of shape {given.shape}'


def _said(error: Exception) -> str:
  return f'{type(error).__name__}: {error}' if str(error) else repr(error)
