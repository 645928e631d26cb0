"""What a posterior costs by its KL to N(0, I), summed and averaged."""

import chex
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import bottleneck

BOTH = (bottleneck.standard_normal_kl, bottleneck.averaged_standard_normal_kl)


class StandardNormalTest(chex.TestCase):
  # ½ (μ² + σ² − 1 − log σ²) of one dimension.
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (0.0, 1.0, 0.0),
    (1.0, 1.0, 0.5),
    (0.0, 4.0, 0.8068528),
    (2.0, 0.25, 2.3181472),
  )
  def test_worked_examples(self, mean, variance, expected):
    one = np.float32([mean]), np.log(np.float32([variance]))
    for divergence in BOTH:
      found = self.variant(divergence)(*one)
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

  def test_several_latents_add_up_and_their_average_does_not(self):
    one = np.float32([[3.0, -3.0]]), np.zeros((1, 2), np.float32)
    summed, averaged = (divergence(*one) for divergence in BOTH)
    np.testing.assert_allclose(summed, [9.0], rtol=1e-6)
    np.testing.assert_array_equal(averaged, [0.0])

  def test_the_average_is_of_means_and_of_log_variances(self):
    # μ 2 and log σ² log 3, the logs' mean: ½ (4 + 3 − 1 − log 3).
    means = np.float32([[1.0, 3.0]])
    log_variances = np.log(np.float32([[1.0, 9.0]]))
    found = bottleneck.averaged_standard_normal_kl(means, log_variances)
    np.testing.assert_allclose(found, [0.5 * (6.0 - np.log(3.0))], rtol=1e-5)

  def test_refuses_what_would_broadcast(self):
    for divergence in BOTH:
      with self.assertRaises(AssertionError):
        divergence(np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32))


if __name__ == '__main__':
  absltest.main()
