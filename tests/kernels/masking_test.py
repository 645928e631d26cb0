"""Masked statistics against numpy on the values that count."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax import types
from rlhf_jax.kernels import masking

LENGTHS = (6, 3, 1, 0)


def sample(seed=0, lengths=LENGTHS, width=6):
  """Values [N, T] away from 0, and the mask of right-padded rows."""
  values = np.random.default_rng(seed).normal(3.0, 2.0, (len(lengths), width))
  mask = np.arange(width) < np.array(lengths)[:, None]
  return values.astype(np.float32), mask


def with_junk(values, mask):
  return np.where(mask, values, np.nan).astype(np.float32)


class StatisticsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0, 1)
  def test_over_everything_is_numpy_on_what_counts(self, ddof):
    values, mask = sample()
    kept = values[mask].astype(np.float64)

    def statistics(x, m):
      return (
        masking.masked_sum(x, m),
        masking.masked_mean(x, m),
        masking.masked_var(x, m, ddof=ddof),
      )

    actual = self.variant(statistics)(values, mask)
    expected = (kept.sum(), kept.mean(), kept.var(ddof=ddof))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_over_rows_is_numpy_row_by_row(self):
    values, mask = sample()

    def statistics(x, m):
      mean = masking.masked_mean(x, m, -1)
      return mean, masking.masked_var(x, m, -1, ddof=1)

    means, variances = self.variant(statistics)(values, mask)
    for row, length in enumerate(LENGTHS):
      kept = values[row, :length].astype(np.float64)
      mean = kept.mean() if length else 0.0
      variance = kept.var(ddof=1) if length > 1 else 0.0
      np.testing.assert_allclose(means[row], mean, rtol=1e-5)
      np.testing.assert_allclose(variances[row], variance, rtol=1e-5)

  def test_keepdims_keeps_the_reduced_axes(self):
    values, mask = sample()
    for reduce in (masking.masked_sum, masking.masked_mean, masking.masked_var):
      chex.assert_shape(reduce(values, mask, -1, keepdims=True), (4, 1))
      chex.assert_shape(reduce(values, mask, keepdims=True), (1, 1))

  def test_large_offsets_do_not_eat_the_variance(self):
    values = np.array([10_000.0, 10_001.0, 10_002.0], np.float32)
    variance = masking.masked_var(values, np.ones(3, bool))
    np.testing.assert_allclose(variance, 2.0 / 3.0, rtol=1e-5)

  def test_low_precision_is_summed_in_float32(self):
    ones = jnp.ones(1000, jnp.bfloat16)
    total = masking.masked_sum(ones, np.ones(1000, bool))
    chex.assert_type(total, jnp.float32)
    self.assertEqual(float(total), 1000.0)

  def test_a_mask_that_is_no_mask_is_refused(self):
    values, mask = sample()
    with self.assertRaises(AssertionError):
      masking.masked_mean(values, mask.astype(np.float32))
    with self.assertRaises(AssertionError):
      masking.masked_mean(values, mask[:1])


class WhitenTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(ddof=(0, 1), shift_mean=(True, False))
  def test_what_counts_gets_variance_one(self, ddof, shift_mean):
    values, mask = sample()

    def whiten(x, m):
      return masking.whiten(x, m, ddof=ddof, shift_mean=shift_mean)

    actual = self.variant(whiten)(values, mask)
    kept = values[mask].astype(np.float64)
    expected = (kept - kept.mean()) / kept.std(ddof=ddof)
    if not shift_mean:
      expected += kept.mean()
    np.testing.assert_allclose(actual[mask], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(actual[~mask], 0.0)

  def test_by_rows_each_row_is_its_own_population(self):
    values, mask = sample()
    actual = masking.whiten(values, mask, axis=-1)
    for row, length in enumerate(LENGTHS):
      alone = masking.whiten(values[row, :length], mask[row, :length])
      np.testing.assert_allclose(actual[row, :length], alone, atol=1e-6)

  @parameterized.product(count=(0, 1), ddof=(0, 1), shift_mean=(True, False))
  def test_one_value_or_none_is_finite(self, count, ddof, shift_mean):
    values = np.array([5.0, 7.0], np.float32)
    mask = np.arange(2) < count
    actual = masking.whiten(values, mask, ddof=ddof, shift_mean=shift_mean)
    first = 0.0 if shift_mean or not count else 5.0
    np.testing.assert_allclose(actual, [first, 0.0])

  def test_equal_values_come_out_zero(self):
    actual = masking.whiten(np.full(7, 0.1, np.float32), np.ones(7, bool))
    np.testing.assert_allclose(actual, 0.0, atol=1e-3)


REDUCTIONS = (
  masking.token_mean,
  masking.sequence_mean,
  masking.sequence_sum,
  masking.fixed_length,
)


class ReductionsTest(chex.TestCase):
  """Losses (1, 2), (3) and an empty row; token sum 6, three tokens."""

  losses = np.array([[1.0, 2.0], [3.0, 9.0], [9.0, 9.0]], np.float32)
  mask = np.array([[True, True], [True, False], [False, False]])

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    ('token_mean', masking.token_mean, 6.0 / 3, 3),
    ('sequence_mean', masking.sequence_mean, (1.5 + 3.0) / 2, 2),
    ('sequence_sum', masking.sequence_sum, (3.0 + 3.0) / 2, 2),
    ('fixed_length', masking.fixed_length, 6.0 / (3 * 2), 6),
  )
  def test_worked_example(self, reduction, expected, weight):
    actual = self.variant(reduction)(self.losses, self.mask)
    self.assertAlmostEqual(float(actual.value), expected, places=6)
    self.assertEqual(float(actual.weight), weight)

  def test_a_given_length_replaces_the_width(self):
    actual = masking.fixed_length(self.losses, self.mask, length=10)
    self.assertAlmostEqual(float(actual.value), 6.0 / 30, places=6)

  @parameterized.parameters(*REDUCTIONS)
  def test_micro_batches_add_up_to_the_batch(self, reduction):
    values, mask = sample()
    whole = reduction(values, mask)
    parts = [reduction(values[i : i + 1], mask[i : i + 1]) for i in range(4)]
    total = sum(parts[1:], parts[0])
    np.testing.assert_allclose(total.value, whole.value, rtol=1e-6)

  @parameterized.parameters(*REDUCTIONS)
  def test_a_batch_masked_whole_is_zero(self, reduction):
    values = np.full((2, 3), np.nan, np.float32)
    mask = np.zeros((2, 3), bool)
    value, gradient = jax.value_and_grad(lambda x: reduction(x, mask).value)(
      values
    )
    self.assertEqual(float(value), 0.0)
    np.testing.assert_array_equal(gradient, 0.0)


class PaddingTest(chex.TestCase):
  """NaN under the mask changes nothing, in values or in gradients."""

  @parameterized.parameters(
    masking.masked_sum,
    masking.masked_mean,
    masking.masked_var,
    masking.whiten,
    *REDUCTIONS,
  )
  def test_is_inert(self, function):
    values, mask = sample()

    def scalar(x):
      result = function(x, mask)
      result = result.value if isinstance(result, types.Mean) else result
      return jnp.sum(result**3), result

    (_, clean), clean_slope = jax.value_and_grad(scalar, has_aux=True)(values)
    (_, dirty), dirty_slope = jax.value_and_grad(scalar, has_aux=True)(
      with_junk(values, mask)
    )
    chex.assert_trees_all_equal(clean, dirty)
    chex.assert_trees_all_equal(clean_slope, dirty_slope)
    np.testing.assert_array_equal(dirty_slope[~mask], 0.0)

  @parameterized.parameters(
    masking.masked_sum, masking.masked_mean, masking.masked_var, masking.whiten
  )
  def test_gradients(self, function):
    values, mask = sample()

    def scalar(x):
      return jnp.sum(jnp.sin(function(x, mask)))

    jax.test_util.check_grads(scalar, (values,), 1, ['rev'], rtol=2e-2)
