"""Ids that are no tokens have probability 0, and nothing is learnt of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import distributions, divergences

D, V = 8, 37
# A gap, the table's end, and more at its start than a chunk of 12 is wide.
ABSENT = (*range(14), 20, 35, 36)
REAL = np.setdiff1d(np.arange(V), ABSENT)


def objective(hidden, unembedding, temperature, targets, g, h, **options):
  """Σ g · logps + h · entropies, and both."""
  values = distributions.fused_token_logps_and_entropies(
    hidden, unembedding, targets, temperature=temperature, **options
  )
  return jnp.sum(g * values[0] + h * values[1]), values


class VocabularyTest(chex.TestCase):
  def arguments(self):
    draw = np.random.default_rng(0)
    hidden = draw.normal(size=(3, 5, D)).astype(np.float32)
    unembedding = draw.normal(size=(D, V)).astype(np.float32)
    unembedding[:, list(ABSENT)] *= 30.0  # They would win every draw.
    places = draw.integers(0, len(REAL), (3, 5))
    g, h = draw.normal(size=(2, 3, 5)).astype(np.float32)
    return hidden, unembedding, np.float32(0.7), places, g, h

  def test_logits_are_minus_infinity_there_alone(self):
    logits = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(
      distributions.rule_out(logits, (1, 3)), [[1.0, -np.inf] * 2] * 2
    )
    self.assertIs(distributions.rule_out(logits, ()), logits)

  @parameterized.product(chunk=(None, 12, 100), softcap=(None, 2.0))
  def test_equals_a_table_of_the_real_rows_alone(self, chunk, softcap):
    """Values and every gradient; that of the others' rows is 0."""
    hidden, unembedding, temperature, places, g, h = self.arguments()
    form = jax.value_and_grad(objective, argnums=(0, 1, 2), has_aux=True)
    (_, expected), grads = form(
      hidden, unembedding[:, REAL], temperature, places, g, h, softcap=softcap
    )
    (_, actual), found = form(
      hidden,
      unembedding,
      temperature,
      REAL[places],
      g,
      h,
      softcap=softcap,
      chunk=chunk,
      absent=ABSENT,
    )
    table = np.zeros((D, V), np.float32)
    table[:, REAL] = grads[1]
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)
    chex.assert_trees_all_close(
      found, (grads[0], table, grads[2]), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(found[1][:, list(ABSENT)], 0.0)

  @parameterized.parameters(None, 12)
  def test_an_absent_target_has_probability_0(self, chunk):
    hidden, unembedding, temperature, places, g, h = self.arguments()
    targets = REAL[places]
    targets[0, 0], targets[1, 1] = ABSENT[0], ABSENT[-1]
    options = {'chunk': chunk, 'absent': ABSENT}
    (_, (scored, spread)), grads = jax.value_and_grad(
      objective, argnums=(0, 1), has_aux=True
    )(hidden, unembedding, temperature, targets, g, h, **options)
    np.testing.assert_array_equal(np.isneginf(scored), np.isin(targets, ABSENT))
    chex.assert_tree_all_finite((spread, grads))

  def test_divergence_of_two_policies_without_them_is_finite(self):
    draw = np.random.default_rng(1)
    full = draw.normal(size=(2, 6, V)).astype(np.float32)
    ruled = distributions.rule_out(full, ABSENT)
    expected = divergences.categorical_kl(*full[..., REAL])
    value, grad = jax.value_and_grad(
      lambda x: jnp.sum(divergences.categorical_kl(x, ruled[1]))
    )(ruled[0])
    np.testing.assert_allclose(value, np.sum(expected), rtol=1e-5)
    chex.assert_tree_all_finite(grad)


if __name__ == '__main__':
  absltest.main()
