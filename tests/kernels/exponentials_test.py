"""exp below the bound, its tangent above, finite throughout."""

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import exponentials

BOTH = ((exponentials.tangent_exp, 0.0), (exponentials.tangent_expm1, 1.0))


class TangentTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters((f.__name__, f, less) for f, less in BOTH)
  def test_is_exp_below_the_bound(self, function, less):
    x = np.float32([-1e3, -5.0, 0.0, 1.0, 39.0])
    expected = np.exp(x.astype(np.float64)) - less
    np.testing.assert_allclose(self.variant(function)(x), expected, rtol=1e-5)

  @parameterized.parameters(*BOTH)
  def test_goes_on_as_its_tangent(self, function, less):
    x = np.float32([3.0, 4.0, 10.0])
    expected = np.exp(2.0) * (1.0 + (x - 2.0)) - less
    np.testing.assert_allclose(function(x, bound=2.0), expected, rtol=1e-5)
    slopes = jax.vmap(jax.grad(lambda x: function(x, bound=2.0)))(x)
    np.testing.assert_allclose(slopes, np.exp(2.0), rtol=1e-5)

  @parameterized.parameters(*BOTH)
  def test_nothing_overflows(self, function, less):
    del less
    for x in (-1e6, -1e3, 0.0, 40.0, 89.0, 1e3, 1e6):
      value, slope = jax.value_and_grad(function)(np.float32(x))
      chex.assert_tree_all_finite((value, slope, slope * slope))
      self.assertGreaterEqual(slope, 0.0)

  def test_expm1_keeps_the_digits_of_little(self):
    x = np.float32([1e-6, -1e-6])
    actual = exponentials.tangent_expm1(x)
    np.testing.assert_allclose(actual, np.expm1(x.astype(np.float64)), 1e-6)

  @parameterized.parameters(*BOTH)
  def test_refuses_whole_numbers(self, function, less):
    del less
    with self.assertRaises(AssertionError):
      function(np.arange(3))
