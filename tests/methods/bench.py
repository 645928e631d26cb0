"""Tools of a dataset stage by hand: texts that are listed, worths by a rule."""

from collections.abc import Callable, Sequence

import numpy as np

from rlhf_jax.stages import Tools
from rlhf_jax.types import Comparison, Message, Prompt


def prompt(text: str = 'what ?') -> Prompt:
  return Prompt((Message('user', text),), kind='sums', where='f:1')


class Bench:
  """Makes tools, and remembers what they were asked.

  Attributes:
    sampled: the (samples, sampling) asked for.
    scored: the comparisons scored, call by call.
    preferred: the pairs compared, call by call.
    asked: the prompts given instead of the records' own, call by call, or None.
  """

  def __init__(
    self,
    texts: Sequence[Sequence[str]] = (),
    *,
    worth: Callable[[str], float] = float,
    log_odds: Callable[[str, str], float] | None = None,
    ratings: Callable[[str], Sequence[float]] | None = None,
    seeds: Sequence[int] | None = None,
  ):
    """By default a text is worth the number it says.

    A text that begins with `…` did not end; the mark is no part of it.
    """
    self.sampled, self.scored, self.preferred, self.asked = [], [], [], []
    self._texts, self._worth, self._log_odds = texts, worth, log_odds
    self._ratings = ratings
    self.tools = Tools(
      self._sample,
      self._score,
      self._prefer,
      self._rate,
      list(range(len(texts))) if seeds is None else seeds,
    )

  def _sample(self, *, samples, sampling, ended=False, prompts=None):
    self.sampled.append((samples, sampling))
    self.asked.append(prompts)
    return [
      [
        text.removeprefix('…')
        for text in row
        if not (ended and text.startswith('…'))
      ]
      for row in self._texts
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
