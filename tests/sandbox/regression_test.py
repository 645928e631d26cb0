"""The regression against its definition, and against what it cannot say."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import sparse

from rlhf_jax import sandbox
from rlhf_jax.sandbox import questions, regression, sample_pairs
from rlhf_jax.types import Comparison, Message, Prompt

BRIEF = Prompt((Message('user', 'what is 6 plus 2 ? brief'),))
FULL = Prompt((Message('user', 'what is 6 plus 2 ? full'),))
OTHER = Prompt((Message('user', 'tell me 1 plus 2 . brief'),))


def newton(gaps, weights, ridge, alike=0.0):
  """The minimum by Newton's method on dense arrays.

  Args:
    gaps, weights, ridge: as of `coefficients`.
    alike: the Hessian of what else is charged for, a quadratic form.
  """
  w = np.zeros(gaps.shape[1])
  charged = ridge * np.eye(w.size) + alike
  for _ in range(50):
    wrong = 1 / (1 + np.exp(gaps @ w))
    gradient = charged @ w - gaps.T @ (weights * wrong)
    hessian = (gaps.T * (weights * wrong * (1 - wrong))) @ gaps + charged
    w = w - np.linalg.solve(hessian, gradient)
  return w


class CoefficientsTest(parameterized.TestCase):
  @parameterized.parameters(0.1, 1.0, 30.0)
  def test_is_the_minimum(self, ridge):
    rng = np.random.default_rng(0)
    gaps = rng.integers(-2, 3, (60, 9)).astype(float)
    gaps[:, 4] = 0.0  # What no pair differs in.
    weights = rng.integers(0, 4, 60).astype(float)
    found = regression.coefficients(
      sparse.csr_array(gaps), weights, ridge=ridge
    )
    np.testing.assert_allclose(found, newton(gaps, weights, ridge), atol=1e-5)
    self.assertEqual(found[4], 0.0)

  def test_what_is_to_score_alike(self):
    rng = np.random.default_rng(1)
    gaps = rng.integers(-2, 3, (60, 6)).astype(float)
    alike = rng.integers(-2, 3, (20, 6)).astype(float)
    gaps[:, 4], alike[:, 4] = 0.0, 1.0  # What only these differ in.
    found = regression.coefficients(
      sparse.csr_array(gaps),
      np.ones(60),
      ridge=1.0,
      alike=sparse.csr_array(alike),
      alike_weight=0.3,
    )
    expected = newton(gaps, np.ones(60), 1.0, 0.3 * alike.T @ alike)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    self.assertGreater(abs(found[4]), 1e-3)
    none = newton(gaps, np.ones(60), 1.0)
    self.assertLess(np.sum((alike @ found) ** 2), np.sum((alike @ none) ** 2))

  def test_without_much_ridge_is_the_log_odds(self):
    # One phrase is preferred 30 times of 40.
    gaps = sparse.csr_array(np.array([[1.0]] * 30 + [[-1.0]] * 10))
    (found,) = regression.coefficients(gaps, np.ones(40), ridge=1e-9)
    self.assertAlmostEqual(found, np.log(3.0), places=5)


class FeaturesTest(absltest.TestCase):
  def test_phrases_by_hand(self):
    said = 'sure , it is 8 . sure , what 7 .'
    brief, full = regression.phrase_counts([BRIEF, FULL], [said] * 2).toarray()
    # Twice one phrase, an answer, and a broken part.
    self.assertEqual(sorted(brief[brief > 0]), [1.0, 1.0, 2.0])
    self.assertEqual(brief.size, 2 * (25 + 1))
    np.testing.assert_array_equal(np.roll(brief, brief.size // 2), full)

  def test_the_table_is_of_the_question(self):
    said = ['8 .', 'it is 8 . because counting gives 8 .', '8 or 7 .', '8 .']
    counts = regression.phrases_and_answers([BRIEF, FULL, BRIEF, OTHER], said)
    table = counts.toarray()[:, 52:]
    self.assertEqual(table.shape[1], 296 * len(questions.ANSWER_WORDS))
    np.testing.assert_array_equal(table[0], table[1])
    self.assertEqual(table.sum(axis=1).tolist(), [1, 1, 2, 1])
    self.assertEqual(table[2] @ table[0], 1)
    self.assertEqual(table[3] @ table[0], 0)


class FitTest(absltest.TestCase):
  def test_ranks_what_it_was_shown(self):
    shown = [
      Comparison(BRIEF, ('8 .', '7 .')),
      Comparison(BRIEF, ('sure , 9 .', '9 .')),
    ]
    reward = regression.fit(shown)
    texts = ['sure , it is 8 .', 'it is 8 .', 'it is 7 .', 'duh , it is 7 .']
    scores = reward([FULL] * 2 + [BRIEF] * 2, texts)
    # Openers were seen in the brief style alone, the answer in any.
    self.assertEqual(scores[0], scores[1])
    self.assertGreater(scores[1], scores[2])
    scores = reward([BRIEF] * 4, texts)
    self.assertGreater(scores[0], scores[1])
    self.assertEqual(scores[2], scores[3])

  def test_every_two_of_a_ranking_are_a_pair_and_weights_count(self):
    said = ('8 .', 'maybe 8 .', 'i think 8 .')
    ranked = regression.fit([Comparison(BRIEF, said, weight=2.0)])
    pairs = [(0, 1), (0, 2), (1, 2)]
    listed = [Comparison(BRIEF, (said[i], said[j])) for i, j in pairs * 2]
    np.testing.assert_allclose(
      ranked.coefficients, regression.fit(listed).coefficients, atol=1e-5
    )

  def test_phrases_alone_know_no_answer_and_the_table_does(self):
    world = sandbox.World(comparisons=1024).load('')
    pairs = list(world.datasets['comparisons'])
    asked, said = zip(
      *((c.prompt, c.responses[0]) for c in pairs[:300]), strict=True
    )
    minimal = sample_pairs.minimal_pairs(asked, said)
    prompts = [pair.prompt for pair in minimal]
    right, wrong = zip(*(pair.responses for pair in minimal), strict=True)
    blind = regression.fit(pairs, features=regression.phrase_counts)
    np.testing.assert_array_equal(blind(prompts, right), blind(prompts, wrong))
    seeing = regression.fit(pairs)
    found = np.mean(seeing(prompts, right) > seeing(prompts, wrong))
    self.assertGreater(found, 0.65)

  def test_nothing_to_fit_is_told(self):
    alone = [Comparison(BRIEF, ('8 .',))]
    with self.assertRaisesRegex(ValueError, '^1 comparisons have no two resp'):
      regression.fit(alone)


if __name__ == '__main__':
  absltest.main()
