"""Attention and its parts, by slow definitions in numpy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import attention, layers
from rlhf_jax.models.config import Attention, Norm


def attend_by_definition(queries, keys, values, visible):
  """One query at a time, over the keys it sees, in float64."""
  queries, keys, values = (
    np.asarray(x, np.float64) for x in (queries, keys, values)
  )
  batch, length, heads, width = queries.shape
  shared = heads // keys.shape[2]
  out = np.zeros(queries.shape)
  for b, t, h in np.ndindex(batch, length, heads):
    seen = np.flatnonzero(visible[b, t])
    if not seen.size:
      continue
    scores = keys[b, seen, h // shared] @ queries[b, t, h] / np.sqrt(width)
    weights = np.exp(scores - scores.max())
    out[b, t, h] = weights / weights.sum() @ values[b, seen, h // shared]
  return out


class AttendTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    self.queries = draw.normal(size=(2, 5, 4, 6)).astype(np.float32)
    self.keys = draw.normal(size=(2, 5, 2, 6)).astype(np.float32)
    self.values = draw.normal(size=(2, 5, 2, 6)).astype(np.float32)
    self.mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]], bool)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1, 2, 4)
  def test_matches_definition(self, kv_heads):
    keys = np.repeat(self.keys, 2, axis=2)[:, :, :kv_heads]
    values = np.repeat(self.values, 2, axis=2)[:, :, :kv_heads]
    visible = attention.visible_keys(self.mask)
    actual = self.variant(attention.attend)(self.queries, keys, values, visible)
    expected = attend_by_definition(self.queries, keys, values, visible)
    some = np.asarray(visible).any(axis=-1)
    np.testing.assert_allclose(actual[some], expected[some], atol=1e-5)

  def test_hidden_keys_are_inert(self):
    visible = attention.visible_keys(self.mask)
    some = np.asarray(visible).any(axis=-1)
    junk = np.where(self.mask[..., None, None], self.keys, 1e6)
    clean = attention.attend(self.queries, self.keys, self.values, visible)
    dirty = attention.attend(self.queries, junk, self.values, visible)
    np.testing.assert_array_equal(clean[some], dirty[some])

  def test_a_query_that_sees_nothing_is_finite_in_gradients_too(self):
    visible = jnp.zeros((2, 5, 5), bool)

    def total(arrays):
      return jnp.sum(attention.attend(*arrays, visible) ** 2)

    arrays = (self.queries, self.keys, self.values)
    value, gradients = jax.value_and_grad(total)(arrays)
    chex.assert_tree_all_finite((value, gradients))

  def test_softmax_is_float32_under_bfloat16(self):
    half = [
      jnp.asarray(x, jnp.bfloat16)
      for x in (self.queries, self.keys, self.values)
    ]
    visible = attention.visible_keys(self.mask)
    actual = attention.attend(*half, visible)
    self.assertEqual(actual.dtype, jnp.bfloat16)
    text = str(jax.make_jaxpr(attention.attend)(*half, visible))
    self.assertIn('f32[2,2,2,5,5] = exp', text)
    expected = attend_by_definition(*half, visible)
    some = np.asarray(visible).any(axis=-1)
    actual = np.asarray(actual, np.float32)
    np.testing.assert_allclose(actual[some], expected[some], atol=0.03)


class VisibleKeysTest(absltest.TestCase):
  def test_worked_example(self):
    mask = np.array([[False, True, True, True]])
    segments = np.array([[0, 1, 1, 2]])
    expected = np.array(
      [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool
    )
    np.testing.assert_array_equal(
      attention.visible_keys(mask, segments)[0], expected
    )

  def test_without_segments_all_before_are_seen(self):
    expected = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)
    np.testing.assert_array_equal(
      attention.visible_keys(np.array([[True, False, True]]))[0], expected
    )


class WindowTest(absltest.TestCase):
  def test_a_window_of_two_sees_itself_and_the_one_before(self):
    columns = np.arange(4)
    causal = np.tril(np.ones((4, 4), bool))
    expected = np.array(
      [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], bool
    )
    near = attention.near(columns, columns, 2)
    np.testing.assert_array_equal(near & causal, expected)

  def test_scores_are_scaled_then_capped_then_masked(self):
    scores = np.array([3.0, -2.0, 50.0], np.float32)
    visible = np.array([True, True, False])
    options = Attention(scale=0.5, softcap=2.0)
    capped = np.exp(2.0 * np.tanh(np.array([1.5, -1.0]) / 2.0))
    np.testing.assert_allclose(
      attention.weigh(scores, visible, options, 16),
      [*(capped / capped.sum()), 0.0],
      rtol=1e-6,
    )


class PositionsTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('left', [0, 0, 1, 1, 1], None, [0, 0, 0, 1, 2]),
    ('right', [1, 1, 1, 0, 0], None, [0, 1, 2, 2, 2]),
    ('inside', [1, 0, 1, 0, 1], None, [0, 0, 1, 1, 2]),
    ('none', [0, 0, 0, 0, 0], None, [0, 0, 0, 0, 0]),
    ('packed', [1, 1, 1, 1, 1], [1, 1, 2, 2, 2], [0, 1, 0, 1, 2]),
    ('packed, padded', [1, 1, 1, 1, 0], [1, 2, 2, 3, 0], [0, 0, 1, 0, 0]),
    ('packed from the left', [0, 1, 1, 1, 1], [0, 1, 1, 2, 2], [0, 0, 1, 0, 1]),
  )
  def test_worked_examples(self, mask, segments, expected):
    mask = np.array([mask], bool)
    if segments is not None:
      segments = np.array([segments])
    actual = attention.positions_from_mask(mask, segments)
    np.testing.assert_array_equal(actual[0], expected)
    self.assertEqual(actual.dtype, jnp.int32)

  def test_refuses_an_integer_mask(self):
    with self.assertRaises(AssertionError):
      attention.positions_from_mask(np.ones((1, 3), np.int32))


class RMSNormTest(absltest.TestCase):
  def test_matches_definition(self):
    draw = np.random.default_rng(2)
    x = draw.normal(size=(3, 2, 5)).astype(np.float32)
    scale = draw.normal(size=5).astype(np.float32)
    norm = layers.Normalise(Norm(epsilon=0.1))
    actual = norm.apply({'params': {'scale': scale}}, x)
    mean_square = (x.astype(np.float64) ** 2).mean(axis=-1, keepdims=True)
    expected = x / np.sqrt(mean_square + 0.1) * scale
    np.testing.assert_allclose(actual, expected, atol=1e-5)

  def test_a_centred_norm_is_layer_norm(self):
    draw = np.random.default_rng(2)
    x = draw.normal(size=(3, 5)).astype(np.float32)
    scale, bias = draw.normal(size=(2, 5)).astype(np.float32)
    norm = layers.Normalise(Norm(epsilon=0.1, centred=True, from_one=True))
    actual = norm.apply({'params': {'scale': scale, 'bias': bias}}, x)
    wide = x.astype(np.float64)
    deviation = np.sqrt(wide.var(axis=-1, keepdims=True) + 0.1)
    centred = (wide - wide.mean(axis=-1, keepdims=True)) / deviation
    np.testing.assert_allclose(actual, centred * (1 + scale) + bias, atol=1e-5)

  def test_statistics_are_float32(self):
    # 300² overflows nothing in bfloat16, but its mean over 2 is off by 1/256.
    x = jnp.asarray([[300.0, 1.0]], jnp.bfloat16)
    norm = layers.Normalise(Norm(epsilon=1e-6))
    actual = norm.apply({'params': {'scale': jnp.ones(2)}}, x)
    self.assertEqual(actual.dtype, jnp.bfloat16)
    exact = np.array([[300.0, 1.0]]) / np.sqrt((300.0**2 + 1.0) / 2)
    expected = jnp.asarray(exact, jnp.bfloat16)
    np.testing.assert_array_equal(actual, expected)


if __name__ == '__main__':
  absltest.main()
