"""Rewards that are linear in words: a bound on what comparisons teach.

Bradley and Terry's model of a reward φ(prompt, response) · w, fitted with a
ridge. With a number for each phrase in each style and one for each answer to
each question it can say nearly all that gold says, and is fitted in seconds; a
reward model of the same pairs that is right less often has not learnt what
they say.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import optimize, sparse, special

from rlhf_jax.sandbox import grammar, questions
from rlhf_jax.types import Comparison, Prompt

# N prompts and their responses -> [N, F] what a reward is linear in.
Features = Callable[[Sequence[Prompt], Sequence[str]], sparse.csr_array]


@dataclasses.dataclass(frozen=True)
class Regression:
  """A fitted reward; called with N prompts and responses, their scores [N].

  Attributes:
    features: φ.
    coefficients: w [F], reward units for one more of each feature.
  """

  features: Features
  coefficients: np.ndarray

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    return self.features(prompts, responses) @ self.coefficients


def phrase_counts(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> sparse.csr_array:
  """[N, 2 · 26] how often each phrase, or a broken part, is in a style."""
  places = _phrase_places()

  def columns(prompt, response):
    start = len(places) * questions.STYLES.index(questions.read(prompt).style)
    return [start + places[p.phrase] for p in grammar.parse(response).parts]

  width = len(places) * len(questions.STYLES)
  return _counts(map(columns, prompts, responses), width)


def phrases_and_answers(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> sparse.csr_array:
  """[N, 52 + 296 · 34] `phrase_counts`, then the table of answers.

  The table's cell of a question and an answer word is 1 where the response to
  that question states that word, however often.
  """
  rows, words = _question_places(), sorted(questions.ANSWER_WORDS)

  def columns(prompt, response):
    start = len(words) * rows[questions.read(prompt).question]
    stated = set(grammar.parse(response).answers)
    return [start + words.index(word) for word in stated]

  table = _counts(map(columns, prompts, responses), len(words) * len(rows))
  return sparse.csr_array(
    sparse.hstack([phrase_counts(prompts, responses), table])
  )


def fit(
  comparisons: Sequence[Comparison],
  *,
  features: Features = phrases_and_answers,
  ridge: float = 1.0,
) -> Regression:
  """The reward that best explains who is preferred to whom.

  Args:
    comparisons: best response first; of more than two, every two are a pair.
    features: what the reward is linear in.
    ridge: weight of ½ |w|² beside the sum of the pairs' losses; above 0.

  Raises:
    ValueError: there is no pair.
  """
  pairs = [
    (c.prompt, *pair, c.weight)
    for c in comparisons
    for pair in itertools.combinations(c.responses, 2)
  ]
  if not pairs:
    raise ValueError(
      f'{len(comparisons)} comparisons have no two responses to tell apart, '
      'and a regression needs a pair; give it another dataset'
    )
  prompts, better, worse, weights = zip(*pairs, strict=True)
  gaps = features(prompts, better) - features(prompts, worse)
  return Regression(
    features, coefficients(gaps, np.array(weights), ridge=ridge)
  )


def coefficients(
  gaps: sparse.csr_array,
  weights: np.ndarray,
  *,
  ridge: float,
  alike: sparse.csr_array | None = None,
  alike_weight: float = 0.0,
) -> np.ndarray:
  """[F] the w that minimises Σᵢ weightᵢ · −log σ(gapᵢ · w) + ridge/2 · |w|².

  Args:
    gaps: [N, F] features of the preferred response less the other's.
    weights: [N] of the pairs, 0 or more.
    ridge: above 0, so that there is one minimum.
    alike: [M, F] features of one response less another's, which are to score
      alike; None where none are.
    alike_weight: of ½ Σⱼ (alikeⱼ · w)² in the sum, 0 or more.
  """
  if alike is None:
    alike = sparse.csr_array((0, gaps.shape[1]))
  found = np.zeros(gaps.shape[1])
  # The ridge leaves all others at 0.
  seen = np.union1d(gaps.indices, alike.indices)
  gaps, alike = gaps[:, seen], alike[:, seen]
  # Products with these are most of the time.
  transposed, alike_transposed = gaps.T.tocsr(), alike.T.tocsr()

  def quadratic(w):  # The gradient of the part that is.
    return ridge * w + alike_weight * (alike_transposed @ (alike @ w))

  def loss(w):
    margins, own = gaps @ w, quadratic(w)
    gradient = own - transposed @ (weights * special.expit(-margins))
    losses = weights @ -special.log_expit(margins)
    return losses + 0.5 * (w @ own), gradient

  def hessian_product(w, direction):
    chances = special.expit(gaps @ w)
    spread = weights * chances * (1.0 - chances)
    return quadratic(direction) + transposed @ (spread * (gaps @ direction))

  found[seen] = optimize.minimize(
    loss,
    np.zeros(seen.size),
    jac=True,
    hessp=hessian_product,
    method='Newton-CG',
    options={'xtol': 1e-6},
  ).x
  return found


@functools.cache
def _phrase_places() -> Mapping[grammar.Phrase | None, int]:
  """{phrase: its place}; of broken parts, which have none, the last."""
  return {phrase: i for i, phrase in enumerate((*grammar.PHRASES, None))}


@functools.cache
def _question_places() -> Mapping[questions.Question, int]:
  return {question: i for i, question in enumerate(questions.questions())}


def _counts(columns, width) -> sparse.csr_array:
  """[N, width] how often each row names each column."""
  listed = list(columns)
  ends = np.cumsum([0, *map(len, listed)])
  places = np.array(list(itertools.chain.from_iterable(listed)), int)
  found = sparse.csr_array(
    (np.ones(places.size), places, ends), shape=(len(listed), width)
  )
  found.sum_duplicates()
  return found
