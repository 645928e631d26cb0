"""Log-probs and entropies from hidden states, whole and a chunk at a time."""

import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from jax.test_util import check_grads

from rlhf_jax import sharding
from rlhf_jax.kernels import chunked_logps, distributions

D, V = 8, 37
# All at once, as is chosen for this size; chunks and a rest; one, too wide.
CHUNKS = (None, 12, 100)


def by_definition(hidden, unembedding, targets, g, h, temperature, softcap):
  """Values, and gradients of Σ g · logps + h · entropies, in numpy float64.

  With z = c tanh(x / c) / T of products x: dz/dx = (1 − tanh²(x / c)) / T, and
  dz/dT = −z / T.
  """
  hidden, unembedding = (
    np.asarray(x, np.float64) for x in (hidden, unembedding)
  )
  x = hidden @ unembedding
  z = x / temperature
  slope = np.ones_like(x) / temperature
  if softcap is not None:
    z = softcap * np.tanh(x / softcap) / temperature
    slope = (1.0 - np.tanh(x / softcap) ** 2) / temperature
  z_max = z.max(-1, keepdims=True)
  log_p = z - z_max - np.log(np.exp(z - z_max).sum(-1, keepdims=True))
  p = np.exp(log_p)
  hot = targets[..., None] == np.arange(x.shape[-1])
  entropies = -np.sum(p * log_p, -1)
  of_z = g[..., None] * (hot - p)
  of_z -= h[..., None] * p * (log_p + entropies[..., None])
  of_x = of_z * slope
  values = np.sum(log_p * hot, -1), entropies
  grads = (
    of_x @ unembedding.T,
    np.einsum('btd,btv->dv', hidden, of_x),
    -np.sum(of_z * z) / temperature,
  )
  return values, grads


def objective(hidden, unembedding, temperature, targets, g, h, **options):
  """Σ g · logps + h · entropies, and both."""
  values = distributions.fused_token_logps_and_entropies(
    hidden, unembedding, targets, temperature=temperature, **options
  )
  return jnp.sum(g * values[0] + h * values[1]), values


class FusedTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    normal = lambda *shape: draw.normal(size=shape).astype(np.float32)  # noqa: E731
    self.hidden = normal(2, 5, D)
    self.unembedding = normal(D, V)
    self.targets = draw.integers(0, V, (2, 5))
    self.targets[0, :2] = 0, V - 1  # The first column and the last.
    self.g, self.h = normal(2, 5), normal(2, 5)

  def everything(self, temperature, chunk, softcap, scale=1.0):
    """Values and gradients, ours and by definition."""
    hidden = self.hidden * np.float32(scale)
    step = jax.value_and_grad(
      functools.partial(objective, chunk=chunk, softcap=softcap),
      argnums=(0, 1, 2),
      has_aux=True,
    )
    (_, values), grads = jax.jit(step)(
      hidden, self.unembedding, temperature, self.targets, self.g, self.h
    )
    return (values, grads), by_definition(
      hidden,
      self.unembedding,
      self.targets,
      self.g,
      self.h,
      temperature,
      softcap,
    )

  @parameterized.product(chunk=CHUNKS, softcap=(None, 3.0))
  def test_values_and_gradients_match_the_definition(self, chunk, softcap):
    temperature = 0.7 if softcap else 1.0
    actual, expected = self.everything(temperature, chunk, softcap)
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.parameters(1, 3)
  def test_kept_products_change_nothing(self, kept):
    # Of 37 columns three chunks of 12 are whole, and one is left over.
    def total(hidden, strips, temperature):
      values = chunked_logps.logps_and_entropies(
        hidden, strips, self.targets.reshape(-1), temperature, 12, kept, 3.0
      )
      values = [x.reshape(2, 5) for x in values]
      return jnp.sum(self.g * values[0] + self.h * values[1]), values

    hidden, strips = self.hidden.reshape(-1, D), self.unembedding[:, None]
    step = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
    (_, values), grads = jax.jit(step)(hidden, strips, jnp.float32(0.7))
    expected = by_definition(
      self.hidden, self.unembedding, self.targets, self.g, self.h, 0.7, 3.0
    )
    shapes = [x.shape for x in expected[1]]
    grads = [x.reshape(s) for x, s in zip(grads, shapes, strict=True)]
    chex.assert_trees_all_close(
      (tuple(values), tuple(grads)), expected, rtol=1e-5, atol=1e-5
    )

  @parameterized.parameters(
    # Chunks of 2²² logits, in whole lanes; 2²⁶ kept, in whole chunks.
    (4096 * 32_768, 32_768, 1024, 16),  # Half of 32 chunks.
    (1024 * 33_000, 33_000, 4096, 8),  # All whole chunks.
    (4096 * 151_936, 151_936, 1024, 16),
    (4096 * 64 // 8, 32, 32, 1),  # Eight devices, two strips.
    (2**31, 2**11, 128, 0),
  )
  def test_chunks_fit_the_memory_set_aside(self, held, size, width, kept):
    self.assertEqual(chunked_logps.chunk_sizes(held, size), (width, kept))

  def test_chunks_are_wider_on_accelerators(self):
    # Of 16 rows of 2048 tokens, 2²⁶ logits are 2048 columns.
    with mock.patch.object(sharding, 'platform', lambda: 'tpu'):
      width, kept = chunked_logps.chunk_sizes(16 * 2048 * 128_256, 128_256)
    self.assertEqual((width, kept), (2048, 1))

  @parameterized.parameters(None, 20)
  def test_without_jit(self, chunk):
    with jax.disable_jit():
      actual, expected = self.everything(0.7, chunk, None)
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.parameters(None, 12)
  def test_extreme_logits(self, chunk):
    actual, expected = self.everything(1.0, chunk, None, scale=8.0)
    logits = np.abs(8.0 * self.hidden @ self.unembedding)
    self.assertGreater(logits.max(), 50.0)
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=5e-5)

  @parameterized.parameters(None, 12)
  def test_one_output_alone_is_what_both_together_are(self, chunk):
    arguments = self.hidden, self.unembedding, self.targets
    alone = functools.partial(distributions.fused_token_logps, chunk=chunk)
    both = functools.partial(
      distributions.fused_token_logps_and_entropies, chunk=chunk
    )
    np.testing.assert_allclose(
      alone(*arguments), both(*arguments)[0], atol=1e-6
    )
    zeros = np.zeros_like(self.g)
    for g, h, form in (
      (self.g, zeros, alone),
      (self.g, zeros, lambda *x: both(*x)[0]),
      (zeros, self.h, lambda *x: both(*x)[1]),
    ):
      step = jax.grad(
        lambda x, u, form=form, w=g + h: jnp.sum(w * form(x, u, self.targets)),
        argnums=(0, 1),
      )
      grads = jax.jit(step)(self.hidden, self.unembedding)
      _, expected = by_definition(*arguments, g, h, 1.0, None)
      chex.assert_trees_all_close(grads, expected[:2], rtol=1e-5, atol=1e-5)

  @parameterized.parameters(None, 12)
  def test_gradients_are_consistent(self, chunk):
    def total(hidden, unembedding, temperature):
      total, _ = objective(
        hidden,
        unembedding,
        temperature,
        self.targets,
        self.g,
        self.h,
        chunk=chunk,
        softcap=3.0,
      )
      return total

    arguments = self.hidden / 2, self.unembedding / 2, 1.3
    check_grads(
      jax.jit(total), arguments, 1, modes=['rev'], atol=1e-2, rtol=1e-2
    )

  @parameterized.parameters(None, 12)
  def test_vmap_over_parameters(self, chunk):
    form = functools.partial(
      distributions.fused_token_logps_and_entropies,
      targets=self.targets,
      chunk=chunk,
    )

    def total(hidden, unembedding):
      value, entropies = form(hidden, unembedding)
      return jnp.sum(self.g * value + self.h * entropies)

    hidden = jnp.stack([self.hidden, 2 * self.hidden])
    unembedding = jnp.stack([self.unembedding, -self.unembedding])
    step = jax.jit(jax.grad(total, argnums=(0, 1)))
    seeds = jax.vmap(step)(hidden, unembedding)
    for seed in range(2):
      expected = step(hidden[seed], unembedding[seed])
      actual = jax.tree.map(lambda x, seed=seed: x[seed], seeds)
      chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.parameters(None, 12)
  def test_bfloat16(self, chunk):
    hidden, unembedding = (
      jnp.asarray(x, jnp.bfloat16) for x in (self.hidden, self.unembedding)
    )
    step = jax.value_and_grad(
      functools.partial(objective, chunk=chunk), argnums=(0, 1), has_aux=True
    )
    (_, values), grads = jax.jit(step)(
      hidden, unembedding, 1.0, self.targets, self.g, self.h
    )
    self.assertEqual([x.dtype for x in values], [jnp.float32] * 2)
    self.assertEqual([x.dtype for x in grads], [jnp.bfloat16] * 2)
    expected_values, expected_grads = by_definition(
      hidden, unembedding, self.targets, self.g, self.h, 1.0, None
    )
    # The products of bfloat16 numbers are exact in float32; only what comes
    # back in bfloat16 is rounded, to 8 bits.
    chex.assert_trees_all_close(values, expected_values, rtol=1e-5, atol=1e-5)
    for actual, expected in zip(grads, expected_grads, strict=False):
      np.testing.assert_allclose(
        actual.astype(jnp.float32), expected, rtol=0.02, atol=0.02
      )

  @parameterized.parameters(None, 12)
  def test_unknown_targets_are_nan_and_push_nothing(self, chunk):
    for unknown in (-1, -100, V):
      targets = self.targets.copy()
      targets[1, 2] = unknown
      value, pull_back = jax.vjp(
        lambda x, t=targets: distributions.fused_token_logps(
          x, self.unembedding, t, chunk=chunk
        ),
        self.hidden,
      )
      np.testing.assert_array_equal(
        np.isnan(value), np.arange(10).reshape(2, 5) == 7
      )
      (slope,) = pull_back(jnp.ones_like(value))
      self.assertTrue(np.all(slope[1, 2] == 0.0))
      self.assertTrue(np.all(np.isfinite(slope)))

  def test_a_traced_temperature_compiles_once(self):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def score(temperature):
      return distributions.fused_token_logps(
        self.hidden,
        self.unembedding,
        self.targets,
        temperature=temperature,
        chunk=12,
      )

    self.assertFalse(np.allclose(score(1.0), score(0.5)))

  def test_shapes_that_would_broadcast_are_refused(self):
    for hidden, unembedding, targets in (
      (self.hidden, self.unembedding, self.targets[:1]),
      (self.hidden, self.unembedding, self.targets[..., None]),
      (self.hidden, self.unembedding[None], self.targets),
      (self.hidden[..., :1], self.unembedding, self.targets),
      (self.hidden, self.unembedding, self.hidden[..., 0]),
    ):
      with self.assertRaises(AssertionError):
        distributions.fused_token_logps(hidden, unembedding, targets)
    with self.assertRaisesRegex(ValueError, 'chunk is 0'):
      distributions.fused_token_logps(
        self.hidden, self.unembedding, self.targets, chunk=0
      )
