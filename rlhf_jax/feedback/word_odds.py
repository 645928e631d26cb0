"""Whether a text is of one of two kinds, by counting words: a cheap judge.

Naive Bayes on which words, and which pairs of neighbours, a text has. It knows
nothing of a model's insides, so that it can judge what a learnt reward chose.

Source: Wang & Manning 2012, section 2.1 (MNB on bigrams, right on 79.0 % of
sentences of film reviews in ten-fold cross-validation).
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Finite
from rlhf_jax.types.values import checked

WORD = re.compile(r"[\w']+|[^\w\s]")


@dataclasses.dataclass(frozen=True, eq=False)
@checked
class WordOdds:
  """The log-odds of the first kind, as a Reward.

  Attributes:
    odds: of a word, or of two, in nats; others say nothing.
    prior: of a text without any.
    name: as reports have it.
  """

  odds: Mapping[str, float]
  prior: Finite
  name: str

  @classmethod
  def of(
    cls,
    texts: Iterable[tuple[str, int]],
    *,
    name: str = 'words',
  ) -> 'WordOdds':
    """Counted in texts of both kinds: (text, 1 for the first kind or 0) pairs.

    One is added to every count.
    """
    counts = collections.Counter(), collections.Counter()
    size = [0, 0]
    for text, label in texts:
      size[label] += 1
      counts[label].update(features(text))
    every = [*(counts[0] | counts[1])]
    totals = [sum(c.values()) + len(every) for c in counts]
    share = [
      {f: (c[f] + 1) / t for f in every}
      for c, t in zip(counts, totals, strict=True)
    ]
    odds = {f: math.log(share[1][f] / share[0][f]) for f in every}
    return cls(odds, math.log(size[1] / size[0]), name)

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N] log-odds, in nats, of prompts with what goes on from them."""
    texts = (p.text + r for p, r in zip(prompts, responses, strict=True))
    return np.array([self.score(text) for text in texts])

  def score(self, text: str) -> float:
    """Log-odds of a text, in nats."""
    return self.prior + sum(self.odds.get(f, 0.0) for f in features(text))


def features(text: str) -> set[str]:
  """The words of a text in lower case, and its pairs of neighbours."""
  words = WORD.findall(text.lower())
  return {*words, *map(' '.join, zip(words, words[1:], strict=False))}
