"""The transformer against a slow one in numpy, and what it promises."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import TransformerConfig, language_model, transformer

TINY = TransformerConfig(
  vocab_size=11,
  layers=2,
  width=12,
  heads=4,
  kv_heads=2,
  head_width=4,
  mlp_width=10,
)
VARIANTS = {
  'tied': {},
  'free': {'tied_embeddings': False},
  'softcap': {'logit_softcap': 1.5},
  'one kv head': {'kv_heads': 1},
  'scanned': {'layers': transformer.UNROLLED_LAYERS + 1},
}


def rms_norm(x, scale, epsilon):
  return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * scale


def turn(x, position, base):
  """RoPE of a head x [d] as complex numbers."""
  half = len(x) // 2
  rates = base ** (-2 * np.arange(half) / len(x))
  turned = (x[:half] + 1j * x[half:]) * np.exp(1j * position * rates)
  return np.concatenate([turned.real, turned.imag])


def attention_by_definition(config, weights, x):
  query, key, value, output = (
    weights[name] for name in ('query', 'key', 'value', 'output')
  )
  shared = config.heads // config.kv_heads
  out = np.zeros(x.shape)
  for t, h in np.ndindex(len(x), config.heads):
    q = turn(x[t] @ query[:, h], t, config.rope_base)
    keys = [
      turn(x[s] @ key[:, h // shared], s, config.rope_base)
      for s in range(t + 1)
    ]
    weights = np.exp(np.array(keys) @ q / np.sqrt(config.head_width))
    mixed = weights / weights.sum() @ (x[: t + 1] @ value[:, h // shared])
    out[t] += mixed @ output[h]
  return out


def logits_by_definition(config, params, tokens):
  """[T, V] in float64, of one row without padding, layer by layer."""
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  x = params['embedding'][np.asarray(tokens)]
  for layer in range(config.layers):
    weights = jax.tree.map(lambda leaf, i=layer: leaf[i], params['layers'])
    epsilon = config.norm_epsilon
    normed = rms_norm(x, weights['attention_norm']['scale'], epsilon)
    x = x + attention_by_definition(config, weights['attention'], normed)
    normed = rms_norm(x, weights['mlp_norm']['scale'], epsilon)
    gate, up = np.moveaxis(weights['mlp']['gate_and_up'], 1, 0)
    gate = normed @ gate
    hidden = gate / (1 + np.exp(-gate)) * (normed @ up)
    x = x + hidden @ weights['mlp']['down']
  x = rms_norm(x, params['final_norm']['scale'], config.norm_epsilon)
  tied = config.tied_embeddings
  logits = x @ (params['embedding'].T if tied else params['unembedding'])
  cap = config.logit_softcap
  return logits if cap is None else cap * np.tanh(logits / cap)


def perturbed(params):
  """Norm scales away from 1, so that leaving one out shows."""
  draw = np.random.default_rng(5)
  return jax.tree.map(
    lambda x: x + 0.1 * draw.normal(size=x.shape).astype(np.float32), params
  )


def all_logits(model, params, *inputs, **options):
  return model.logits(params, model.hidden(params, *inputs, **options))


class ForwardTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters((k, v) for k, v in VARIANTS.items())
  def test_matches_definition(self, change):
    config = dataclasses.replace(TINY, **change)
    model = language_model(config)
    params = perturbed(model.init(jax.random.key(0)))
    tokens = np.random.default_rng(0).integers(0, 11, (2, 6)).astype(np.int32)
    mask = np.ones(tokens.shape, bool)
    hidden = self.variant(model.hidden)(params, tokens, mask)
    actual = self.variant(model.logits)(params, hidden)
    for row in range(2):
      expected = logits_by_definition(config, params, tokens[row])
      np.testing.assert_allclose(actual[row], expected, atol=2e-5)

  @parameterized.named_parameters((k, v) for k, v in VARIANTS.items())
  def test_token_logps_read_the_same_logits(self, change):
    config = dataclasses.replace(TINY, **change)
    model = language_model(config)
    params = model.init(jax.random.key(0))
    tokens = np.random.default_rng(0).integers(0, 11, (2, 6)).astype(np.int32)
    hidden = model.hidden(params, tokens, np.ones(tokens.shape, bool))
    targets = np.roll(tokens, -1, axis=1)
    actual, entropies = model.token_logps_and_entropies(
      params, hidden, targets, 0.7
    )
    alone = model.token_logps(params, hidden, targets, 0.7)
    for row in range(2):
      logits = logits_by_definition(config, params, tokens[row]) / 0.7
      logps = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
      expected = logps[np.arange(6), targets[row]]
      np.testing.assert_allclose(actual[row], expected, atol=2e-5)
      np.testing.assert_allclose(alone[row], expected, atol=2e-5)
      np.testing.assert_allclose(
        entropies[row], -(np.exp(logps) * logps).sum(axis=-1), atol=2e-5
      )

  def test_each_layer_starts_with_its_own_numbers(self):
    params = language_model(TINY).init(jax.random.key(0))
    down = params['layers']['mlp']['down']
    self.assertGreater(np.abs(down[0] - down[1]).max(), 0.01)

  def test_equal_configs_share_one_model(self):
    copy = dataclasses.replace(TINY)
    self.assertIs(language_model(TINY), language_model(copy))


class PaddingTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.model = language_model(TINY)
    self.params = self.model.init(jax.random.key(1))
    draw = np.random.default_rng(1)
    self.row = draw.integers(0, 11, 5).astype(np.int32)
    mask = np.ones((1, 5), bool)
    self.alone = all_logits(self.model, self.params, self.row[None], mask)[0]

  @parameterized.product(
    left=(0, 2, 7), right=(0, 1, 6), junk=(0, 10), mates=(0, 3)
  )
  def test_logits_do_not_see_padding_or_mates(self, left, right, junk, mates):
    length = left + 5 + right
    draw = np.random.default_rng(2)
    tokens = draw.integers(0, 11, (1 + mates, length)).astype(np.int32)
    mask = draw.random((1 + mates, length)) < 0.5
    tokens[0], mask[0] = junk, False
    tokens[0, left : left + 5], mask[0, left : left + 5] = self.row, True
    actual = all_logits(self.model, self.params, tokens, mask)
    np.testing.assert_allclose(
      actual[0, left : left + 5], self.alone, atol=1e-5
    )
    chex.assert_tree_all_finite(actual)

  def test_a_row_of_padding_gives_no_gradient_and_no_nan(self):
    tokens = np.stack([self.row, self.row])
    mask = np.array([[True] * 5, [False] * 5])

    def total(params, tokens, mask):
      logits = all_logits(self.model, params, tokens, mask)
      return jnp.sum(logits**2, where=mask[..., None])

    gradients = jax.grad(total)(self.params, tokens, mask)
    expected = jax.grad(total)(self.params, tokens[:1], mask[:1])
    chex.assert_trees_all_close(gradients, expected, atol=1e-4)

  def test_packed_examples_equal_separate_rows(self):
    draw = np.random.default_rng(3)
    lengths = (3, 1, 4)
    rows = [draw.integers(0, 11, n).astype(np.int32) for n in lengths]
    packed = np.concatenate([*rows, [0, 0]]).astype(np.int32)[None]
    segments = np.repeat([1, 2, 3, 0], [*lengths, 2])[None]
    actual = all_logits(
      self.model,
      self.params,
      packed,
      segments > 0,
      segment_ids=segments,
    )[0]
    start = 0
    for row in rows:
      mask = np.ones((1, len(row)), bool)
      expected = all_logits(self.model, self.params, row[None], mask)[0]
      np.testing.assert_allclose(
        actual[start : start + len(row)], expected, atol=1e-5
      )
      start += len(row)

  def test_given_positions_replace_those_of_the_mask(self):
    mask, options = np.ones((1, 5), bool), {}
    options['positions'] = np.arange(5, dtype=np.int32)[None] + 40
    shifted = all_logits(
      self.model, self.params, self.row[None], mask, **options
    )[0]
    # Only distances count.
    np.testing.assert_allclose(shifted, self.alone, atol=1e-4)
    options['positions'] = 3 * np.arange(5, dtype=np.int32)[None]
    spread = all_logits(
      self.model, self.params, self.row[None], mask, **options
    )[0]
    self.assertGreater(np.abs(spread - self.alone).max(), 1e-2)


class ComputeTest(parameterized.TestCase):
  def loss(self, config, params):
    model = language_model(config)
    tokens = np.random.default_rng(4).integers(0, 11, (2, 6)).astype(np.int32)
    hidden = model.hidden(params, tokens, np.ones(tokens.shape, bool))
    return -jnp.mean(model.token_logps(params, hidden, tokens))

  @parameterized.product(
    policy=('nothing_saveable', 'dots_saveable'),
    layers=(2, transformer.UNROLLED_LAYERS + 1),
  )
  def test_remat_changes_no_gradient(self, policy, layers):
    plain = dataclasses.replace(TINY, layers=layers)
    remat = dataclasses.replace(
      plain, remat=getattr(jax.checkpoint_policies, policy)
    )
    params = language_model(plain).init(jax.random.key(0))
    gradient = jax.jit(jax.grad(self.loss, argnums=1), static_argnums=0)
    chex.assert_trees_all_close(
      gradient(plain, params), gradient(remat, params), atol=1e-6
    )
    text = str(jax.make_jaxpr(lambda p: self.loss(remat, p))(params))
    self.assertIn('remat', text)

  def test_bfloat16_is_near_float32(self):
    half = dataclasses.replace(TINY, compute_dtype='bfloat16')
    params = language_model(TINY).init(jax.random.key(0))
    tokens = np.arange(10, dtype=np.int32).reshape(2, 5)
    mask = np.ones(tokens.shape, bool)
    model = language_model(half)
    hidden = model.hidden(params, tokens, mask)
    self.assertEqual(hidden.dtype, jnp.bfloat16)
    actual = model.logits(params, hidden)
    self.assertEqual(actual.dtype, jnp.float32)
    expected = all_logits(language_model(TINY), params, tokens, mask)
    np.testing.assert_allclose(actual, expected, atol=0.1)
    logps = model.token_logps(params, hidden, tokens)
    self.assertEqual(logps.dtype, jnp.float32)
    gradients = jax.grad(self.loss, argnums=1)(half, params)
    chex.assert_trees_all_equal_dtypes(gradients, params)
    chex.assert_tree_all_finite(gradients)

  def test_gradients_match_finite_differences(self):
    params = language_model(TINY).init(jax.random.key(0))
    jax.test_util.check_grads(
      lambda p: self.loss(TINY, p), (params,), order=1, modes=['rev'], eps=1e-2
    )


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ({'layers': 0}, 'layers must be positive'),
    ({'vocab_size': -3}, 'vocab_size must be positive'),
    ({'kv_heads': 3}, 'kv_heads must divide heads'),
    ({'head_width': 3}, 'head_width must be even'),
    ({'rope_base': 1.0}, 'rope_base must be above 1'),
    ({'logit_softcap': 0.0}, 'logit_softcap must be positive'),
    ({'compute_dtype': 'float16'}, 'compute_dtype must be float32 or'),
  )
  def test_refuses_impossible_sizes(self, change, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(TINY, **change)

  @parameterized.parameters(
    (np.zeros((2, 3, 1), np.int32), np.ones((2, 3), bool)),
    (np.zeros((2, 3), np.int32), np.ones((2, 3), np.int32)),
    (np.zeros((2, 3), np.int32), np.ones((1, 3), bool)),
    (np.zeros((2, 3), np.float32), np.ones((2, 3), bool)),
  )
  def test_hidden_refuses_other_shapes_and_types(self, tokens, mask):
    model = language_model(TINY)
    params = model.init(jax.random.key(0))
    with self.assertRaises(AssertionError):
      model.hidden(params, tokens, mask)


if __name__ == '__main__':
  absltest.main()
