"""Negative log-likelihood, with the averages that make it a training loss."""

import chex
import jax
import numpy as np

from rlhf_jax.kernels import masking
from rlhf_jax.losses import likelihood


class NegativeLogLikelihoodTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example_under_each_average(self):
    logps = np.array([[-1.0, -2.0], [-3.0, -50.0]], np.float32)
    mask = np.array([[True, True], [True, False]])
    losses = self.variant(likelihood.negative_log_likelihood)(logps)
    for reduction, expected in (
      (masking.token_mean, 2.0),
      (masking.sequence_mean, 2.25),
      (masking.sequence_sum, 3.0),
    ):
      self.assertAlmostEqual(
        float(reduction(losses, mask).value), expected, places=6
      )

  def test_gradients(self):
    logps = np.array([-1.0, -2.0], np.float32)
    jax.test_util.check_grads(
      likelihood.negative_log_likelihood, (logps,), 1, ['rev'], rtol=1e-2
    )

  def test_refuses_tokens(self):
    with self.assertRaises(AssertionError):
      likelihood.negative_log_likelihood(np.array([1, 2]))
