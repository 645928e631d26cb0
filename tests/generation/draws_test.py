"""Rules that draw a token: the right frequencies, and never what is removed."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized

from rlhf_jax.generation import draws

PROBS = np.array([0.02, 0.5, 0.0, 0.18, 0.3, 0.0])
ROWS = 20_000


def keys(count):
  return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(
    jnp.arange(count)
  )


def rows(probs, count):
  with np.errstate(divide='ignore'):
    logits = np.log(probs) + 3.0  # Not normalised.
  return jnp.asarray(np.tile(logits, (count, 1)), jnp.float32)


class DrawTest(chex.TestCase):
  @parameterized.parameters(draws.inverse_cdf, draws.gumbel)
  def test_frequencies_are_the_probabilities(self, draw):
    tokens, _ = jax.jit(draw)(keys(ROWS), rows(PROBS, ROWS))
    counts = np.bincount(tokens, minlength=len(PROBS))
    np.testing.assert_array_equal(counts[PROBS == 0.0], [0, 0])
    likely = PROBS > 0.0
    test = scipy.stats.chisquare(counts[likely], PROBS[likely] * ROWS)
    self.assertGreater(test.pvalue, 1e-3)

  @parameterized.parameters(draws.inverse_cdf, draws.gumbel)
  def test_log_probs_are_those_of_the_law(self, draw):
    tokens, logps = jax.jit(draw)(keys(50), rows(PROBS, 50))
    np.testing.assert_allclose(logps, np.log(PROBS[tokens]), atol=1e-5)
    self.assertEqual(tokens.dtype, jnp.int32)

  @parameterized.parameters(draws.inverse_cdf, draws.gumbel)
  def test_a_row_reads_its_own_key_alone(self, draw):
    tokens, _ = draw(keys(8), rows(PROBS, 8))
    some, _ = draw(keys(8)[3:5], rows(PROBS, 2))
    np.testing.assert_array_equal(tokens[3:5], some)
    self.assertGreater(len(set(tokens.tolist())), 1)

  def test_inverse_cdf_is_the_inverse_of_the_sum(self):
    uniform = np.array([jax.random.uniform(key) for key in keys(40)])
    expected = np.searchsorted(np.cumsum(PROBS), uniform, side='right')
    tokens, _ = draws.inverse_cdf(keys(40), rows(PROBS, 40))
    np.testing.assert_array_equal(tokens, expected)

  @parameterized.parameters(0, 3, 999)
  def test_inverse_cdf_never_draws_what_is_removed(self, place):
    """One token left of many: whatever the rounding, it is drawn."""
    logits = np.full((64, 1_000), -np.inf, np.float32)
    logits[:, place] = -50.0
    tokens, logps = draws.inverse_cdf(keys(64), jnp.asarray(logits))
    np.testing.assert_array_equal(tokens, np.full(64, place))
    np.testing.assert_array_equal(logps, np.zeros(64))

  def test_greedy_takes_the_best_and_is_certain(self):
    logits = jnp.array([[0.0, 2.0, 2.0], [3.0, -jnp.inf, 1.0]])
    tokens, logps = draws.greedy(keys(2), logits)
    np.testing.assert_array_equal(tokens, [1, 0])
    np.testing.assert_array_equal(logps, [0.0, 0.0])

  def test_large_vocabularies_are_not_summed(self):
    self.assertIs(draws.default(64), draws.inverse_cdf)
    self.assertIs(draws.default(150_000), draws.gumbel)


if __name__ == '__main__':
  absltest.main()
