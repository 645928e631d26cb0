"""Queries of a dataset stage by hand: listed texts, and worths by a rule."""

from collections.abc import Callable, Sequence

import numpy as np

from rlhf_jax.stages import Queries
from rlhf_jax.types import Comparison, Message, Prompt, Response, Sampled


def prompt(text: str = 'what ?') -> Prompt:
  return Prompt((Message('user', text),), kind='sums', where='f:1')


class FakeQueries:
  """Makes queries, and remembers what they were asked.

  Attributes:
    sampled: the (samples, sampling) asked for.
    scored: the comparisons scored, call by call.
    preferred: the pairs compared, call by call.
    asked: the prompts given instead of the records' own, call by call, or None.
    told: the (prompts, responses) whose log-probs were asked for, call by call.
  """

  def __init__(
    self,
    texts: Sequence[Sequence[str]] = (),
    *,
    worth: Callable[[str], float] = float,
    log_odds: Callable[[str, str], float] | None = None,
    ratings: Callable[[str], Sequence[float]] | None = None,
    drawn: Sequence[Sampled] = (),
    vectors: Callable[[str], Sequence[float]] | None = None,
    logp: Callable[[Prompt, str], float] | None = None,
    response_logp: Callable[[str, str], float] | None = None,
    seeds: Sequence[int] | None = None,
  ):
    """By default a text is worth the number it says.

    A text that begins with `…` did not end; the mark is no part of it.
    """
    self.sampled, self.scored, self.preferred, self.asked = [], [], [], []
    self.told = []
    self._texts, self._worth, self._log_odds = texts, worth, log_odds
    self._ratings, self._vectors, self._logp = ratings, vectors, logp
    self._drawn, self._response_logp = drawn, response_logp
    self.queries = Queries(
      sample=self._sample,
      draw=self._draw,
      score=self._score,
      prefer=self._prefer,
      rate=self._rate,
      embed=self._embed,
      logps=self._logps,
      response_logps=self._response_logps,
      seeds=list(range(len(texts))) if seeds is None else seeds,
    )

  def _sample(self, *, samples, sampling, ended=False, prompts=None):
    self.sampled.append((samples, sampling))
    self.asked.append(prompts)
    return [
      [
        Response(text.removeprefix('…'), ended=not text.startswith('…'))
        for text in row
        if not (ended and text.startswith('…'))
      ]
      for row in self._texts
    ]

  def _draw(self, *, samples, sampling):
    self.sampled.append((samples, sampling))
    return list(self._drawn)

  def _embed(self, prompts, responses):
    assert len(prompts) == len(responses)
    return np.array([self._vectors(text) for text in responses], np.float32)

  def _logps(self, prompts, responses):
    self.told.append((list(prompts), list(responses)))
    pairs = zip(prompts, responses, strict=True)
    return np.array([self._logp(*pair) for pair in pairs], np.float32)

  def _response_logps(self, comparisons, role):
    return [
      np.array([self._response_logp(role, t) for t in c.responses], np.float32)
      for c in comparisons
    ]

  def _rate(self, prompts, responses):
    assert len(prompts) == len(responses)
    return np.array([self._ratings(text) for text in responses], np.float32)

  def _score(self, comparisons: Sequence[Comparison]):
    self.scored.append(list(comparisons))
    return [
      np.array([self._worth(text) for text in c.responses], np.float32)
      for c in comparisons
    ]

  def _prefer(self, pairs: Sequence[Comparison]):
    self.preferred.append(list(pairs))
    for pair in pairs:
      assert len(pair.responses) == 2, pair
    return np.array([self._log_odds(*p.responses) for p in pairs], np.float32)


def numbers(*values: float) -> list[str]:
  return [f'{value:g}' for value in values]
