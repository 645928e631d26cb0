"""Attribute regression, with labels missing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.losses import regression

SCORES = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]], np.float32)
LABELS = np.array([[0.0, 2.5, 9.0], [9.0, 1.0, 9.0]], np.float32)
MASK = np.array([[True, True, False], [False, True, False]])


class MaskedSquaredErrorTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(regression.masked_squared_error)(SCORES, LABELS, MASK)
    np.testing.assert_allclose(actual, [[1.0, 0.25, 0.0], [0.0, 4.0, 0.0]])

  def test_missing_labels_are_inert(self):
    def total(scores, labels):
      return jnp.sum(regression.masked_squared_error(scores, labels, MASK))

    clean = jax.value_and_grad(total)(SCORES, LABELS)
    junk = np.where(MASK, LABELS, np.nan).astype(np.float32)
    chex.assert_trees_all_equal(clean, jax.value_and_grad(total)(SCORES, junk))

  def test_gradients(self):
    jax.test_util.check_grads(
      lambda s: regression.masked_squared_error(s, LABELS, MASK),
      (SCORES,),
      1,
      ['rev'],
      rtol=2e-2,
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      regression.masked_squared_error(SCORES, LABELS[:1], MASK)
    with self.assertRaises(AssertionError):
      regression.masked_squared_error(SCORES, LABELS, MASK.astype(np.float32))
