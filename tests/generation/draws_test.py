"""Rules that draw a token: the right frequencies, and never what is removed."""

import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rlhf_jax import sharding
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

  def test_tokens_of_probability_zero_are_never_taken(self):
    probs = jnp.array([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]] * 5)
    below_one = np.nextafter(np.float32(1), np.float32(0))
    uniform = jnp.array([0.0, 0.25, 0.5, 0.75, below_one])
    np.testing.assert_array_equal(draws.invert(probs, uniform), [1, 3, 3, 4, 4])

  def test_nor_are_they_by_rounding(self):
    """Sums of a thousand numbers, asked for where they step."""
    draw = np.random.default_rng(0)
    probs = draw.random((500, 1_001)) * (draw.random((500, 1_001)) < 0.3)
    probs = (probs / probs.sum(axis=-1, keepdims=True)).astype(np.float32)
    cdf = np.asarray(jnp.cumsum(probs, axis=-1))
    steps = draw.integers(0, 1_000, 500)
    uniform = np.minimum(cdf[np.arange(500), steps] / cdf[:, -1], 1 - 2**-24)
    tokens = draws.invert(jnp.asarray(probs), jnp.asarray(uniform))
    self.assertTrue((probs[np.arange(500), tokens] > 0.0).all())

  def test_greedy_takes_the_best_and_is_certain(self):
    logits = jnp.array([[0.0, 2.0, 2.0], [3.0, -jnp.inf, 1.0]])
    tokens, logps = draws.greedy(keys(2), logits)
    np.testing.assert_array_equal(tokens, [1, 0])
    np.testing.assert_array_equal(logps, [0.0, 0.0])

  @parameterized.parameters(2 * draws.BLOCKS + 1, 1_000, 50_257)
  def test_blocks_are_the_inverse_of_the_whole_sum(self, vocabulary):
    draw = np.random.default_rng(0)
    weights = draw.exponential(size=(50, vocabulary)) ** 4
    weights *= draw.random((50, vocabulary)) < 0.5
    weights[:, : -(-vocabulary // draws.BLOCKS)] = 0.0  # A whole block.
    weights = weights.astype(np.float32)
    uniform = draw.random(50).astype(np.float32)
    tokens = draws.invert(jnp.asarray(weights), jnp.asarray(uniform))
    whole = weights.astype(np.float64)
    cdf = np.cumsum(whole / whole.sum(axis=-1, keepdims=True), axis=-1)
    rows = np.arange(50)
    # Within what float32 can tell apart.
    self.assertTrue((cdf[rows, tokens] > uniform - 1e-6).all())
    self.assertTrue((cdf[rows, tokens - 1] <= uniform + 1e-6).all())
    self.assertTrue((weights[rows, tokens] > 0.0).all())

  def test_frequencies_over_blocks(self):
    probs = (
      np.repeat(PROBS[[1, 2, 3, 4, 0]], 100) / 100.0
    )  # [500], blocks of 4.
    tokens, logps = jax.jit(draws.inverse_cdf)(keys(ROWS), rows(probs, ROWS))
    counts = np.bincount(tokens, minlength=500).reshape(-1, 20).sum(axis=1)
    sums = ROWS * probs.reshape(-1, 20).sum(axis=1)
    np.testing.assert_array_equal(counts[sums == 0.0], 0)
    test = scipy.stats.chisquare(counts[sums > 0.0], sums[sums > 0.0])
    self.assertGreater(test.pvalue, 1e-3)
    np.testing.assert_allclose(logps, np.log(probs[tokens]), atol=1e-5)

  def test_the_end_of_all_is_the_last_of_any_weight(self):
    weights = np.zeros((1, 3 * draws.BLOCKS), np.float32)
    weights[0, [5, 100]] = 1.0, 3.0  # In blocks of 3.
    for share, expected in ((0.0, 5), (0.2499, 5), (0.25, 100)):
      (token,) = draws.invert(jnp.asarray(weights), jnp.array([share]))
      self.assertEqual(token, expected)
    below_one = jnp.array([draws.BELOW_ONE])
    (token,) = draws.invert(jnp.asarray(weights), below_one)
    self.assertEqual(token, 100)

  @parameterized.parameters(8_192, 128_256)
  def test_shards_of_a_vocabulary_send_sums_alone(self, vocabulary):
    mesh = sharding.make_mesh({'tensor': 8})
    logits = jax.ShapeDtypeStruct(
      (4, vocabulary),
      jnp.float32,
      sharding=NamedSharding(mesh, P(None, 'tensor')),
    )
    with jax.set_mesh(mesh):
      text = jax.jit(draws.inverse_cdf).lower(keys(4), logits)
      text = text.compile().as_text()
    sent = [
      math.prod(map(int, sizes.split(',')))
      for sizes in re.findall(r'= \(?\w+\[([\d,]+)\]\S* (?:all|reduce)-', text)
    ]
    self.assertNotEmpty(sent)
    longest = max(draws.BLOCKS, vocabulary // draws.BLOCKS)
    self.assertLessEqual(max(sent), 4 * (longest + 8))  # Divided over 8.


if __name__ == '__main__':
  absltest.main()
