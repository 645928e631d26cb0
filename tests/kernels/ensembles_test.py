"""Ensembles: worked sums, numpy's definitions, and what shifts do to them."""

import functools

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized
from jax.test_util import check_grads

from rlhf_jax.kernels import ensembles

# Three members, two responses: they agree on the first, and one of them is
# far above the others on the second.
SCORES = np.float32([[1.0, 1.0], [1.5, 1.0], [0.5, 4.0]])
PENALISED = functools.partial(ensembles.variance_penalised, coef=0.5)


def by_definition(scores, coef):
  """Member by member in numpy's float64, the paper's sums."""
  count = len(scores)
  mean = sum(scores) / count
  return mean - coef * sum((s - mean) ** 2 for s in scores) / count


class EnsemblesTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    ('mean', ensembles.mean, [1.0, 2.0]),
    ('worst', ensembles.worst, [0.5, 1.0]),
    # Variances (0.25 + 0.25) / 3 and (1 + 1 + 4) / 3, not over 2.
    ('penalised', PENALISED, [1.0 - 0.5 / 6.0, 2.0 - 1.0]),
  )
  def test_worked_values(self, combine, expected):
    np.testing.assert_allclose(
      self.variant(combine)(SCORES), expected, rtol=1e-6
    )

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(members=(1, 2, 5), shape=((), (3,), (2, 4)))
  def test_matches_definition(self, members, shape):
    scores = np.random.default_rng(members).normal(size=(members, *shape))
    found = self.variant(PENALISED)(scores.astype(np.float32))
    self.assertEqual(found.shape, shape)
    np.testing.assert_allclose(found, by_definition(scores, 0.5), atol=1e-5)

  @parameterized.parameters(ensembles.mean, ensembles.worst, PENALISED)
  def test_one_member_is_itself_and_order_does_not_matter(self, combine):
    np.testing.assert_array_equal(combine(SCORES[:1]), SCORES[0])
    np.testing.assert_allclose(
      combine(SCORES[::-1]), combine(SCORES), rtol=1e-6
    )

  def test_a_member_shifted_alone_changes_all_but_the_mean_order(self):
    shifted = SCORES + np.float32([[-9.0], [0.0], [0.0]])

    def gap(combine, scores):
      return np.diff(combine(scores))

    np.testing.assert_allclose(
      gap(ensembles.mean, shifted), gap(ensembles.mean, SCORES), rtol=1e-5
    )
    # And the worst is that member, whatever the others say.
    np.testing.assert_allclose(ensembles.worst(shifted), shifted[0])

  def test_gradients(self):
    scores = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for combine in (ensembles.mean, ensembles.worst, PENALISED):
      check_grads(combine, (scores,), order=1, modes=['rev'], atol=1e-2)

  def test_refuses_what_has_no_members(self):
    for scores in (np.float32(1.0), np.zeros((0, 3), np.float32)):
      with self.assertRaisesRegex(ValueError, 'members along the first axis'):
        ensembles.mean(scores)
    with self.assertRaises(AssertionError):
      ensembles.worst(np.ones((2, 3), int))


class StandardisedTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_members_of_any_scale_say_the_same(self):
    seen = np.random.default_rng(0).normal(size=16).astype(np.float32)
    members = np.stack([seen, 10.0 * seen - 3.0, 0.1 * seen + 5.0])
    combine = functools.partial(
      ensembles.standardised,
      combine=ensembles.worst,
      means=tuple(members.mean(1).tolist()),
      deviations=tuple(members.std(1).tolist()),
    )
    expected = (seen - seen.mean()) / seen.std()
    np.testing.assert_allclose(
      self.variant(combine)(members), expected, atol=1e-5
    )

  def test_worked_values(self):
    actual = ensembles.standardised(
      SCORES[:2], combine=ensembles.mean, means=(1, 0), deviations=(2, 0.5)
    )
    np.testing.assert_allclose(actual, [(0 + 3) / 2, (0 + 2) / 2])

  def test_refuses_another_number_of_members(self):
    for wrong in (((0.0,), (1.0,)), ((0.0,) * 3, (1.0,))):
      with self.assertRaises(AssertionError):
        jax.jit(
          functools.partial(
            ensembles.standardised,
            combine=ensembles.mean,
            means=wrong[0],
            deviations=wrong[1],
          )
        )(SCORES)


if __name__ == '__main__':
  absltest.main()
