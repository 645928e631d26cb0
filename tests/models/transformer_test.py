"""The transformer against a slow one in numpy, and what it promises."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import TransformerConfig, language_model, layers
from rlhf_jax.models.config import Local

TINY = TransformerConfig(
  vocab_size=11,
  layers=2,
  width=12,
  heads=4,
  kv_heads=2,
  head_width=4,
  mlp_width=10,
)
DEEP = layers.UNROLLED_LAYERS + 1  # Deep enough not to be unrolled.
VARIANTS = {
  'tied': {},
  'free and capped': {'tied_embeddings': False, 'logit_softcap': 1.5},
  'one kv head, scanned': {'kv_heads': 1, 'layers': DEEP},
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
    q = turn(x[t] @ query[:, h], t, config.rotary.base)
    keys = [
      turn(x[s] @ key[:, h // shared], s, config.rotary.base)
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
    epsilon = config.norm.epsilon
    normed = rms_norm(x, weights['attention_norm']['scale'], epsilon)
    x = x + attention_by_definition(config, weights['attention'], normed)
    normed = rms_norm(x, weights['mlp_norm']['scale'], epsilon)
    gate, up = np.moveaxis(weights['mlp']['gate_and_up'], 1, 0)
    gate = normed @ gate
    hidden = gate / (1 + np.exp(-gate)) * (normed @ up)
    x = x + hidden @ weights['mlp']['down']
  x = rms_norm(x, params['final_norm']['scale'], config.norm.epsilon)
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


@functools.partial(jax.jit, static_argnums=0)
def all_logits(model, params, tokens, mask, positions=None, segment_ids=None):
  hidden = model.hidden(params, tokens, mask, positions, segment_ids)
  return model.logits(params, hidden)


class ForwardTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    self.tokens = draw.integers(0, 11, (2, 6)).astype(np.int32)
    self.mask = np.ones(self.tokens.shape, bool)

  @parameterized.named_parameters((k, v) for k, v in VARIANTS.items())
  def test_matches_definition(self, change):
    config = dataclasses.replace(TINY, **change)
    model = language_model(config)
    params = perturbed(model.init(jax.random.key(0)))
    targets = np.roll(self.tokens, -1, axis=1)

    @jax.jit
    def everything(params, tokens, mask):
      hidden = model.hidden(params, tokens, mask)
      return (
        model.logits(params, hidden),
        model.token_logps(params, hidden, targets, 0.7),
        model.token_logps_and_entropies(params, hidden, targets, 0.7),
      )

    actual, alone, both = everything(params, self.tokens, self.mask)
    for row in range(2):
      logits = logits_by_definition(config, params, self.tokens[row])
      np.testing.assert_allclose(actual[row], logits, atol=2e-5)
      logits = logits / 0.7
      logps = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
      expected = logps[np.arange(6), targets[row]]
      np.testing.assert_allclose(alone[row], expected, atol=2e-5)
      np.testing.assert_allclose(both[0][row], expected, atol=2e-5)
      entropies = -(np.exp(logps) * logps).sum(axis=-1)
      np.testing.assert_allclose(both[1][row], entropies, atol=2e-5)

  def test_is_the_same_without_jit(self):
    model = language_model(TINY)
    params = model.init(jax.random.key(0))
    compiled = all_logits(model, params, self.tokens, self.mask)
    hidden = model.hidden(params, self.tokens, self.mask)
    np.testing.assert_allclose(
      model.logits(params, hidden), compiled, atol=1e-5
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

  @parameterized.parameters(5, 6, 13)
  def test_logits_do_not_see_padding_or_mates(self, length):
    """The row at every place of a wider one, over junk, beside the others."""
    starts = range(length - 4)
    draw = np.random.default_rng(2)
    tokens = draw.integers(0, 11, (len(starts), length)).astype(np.int32)
    mask = np.zeros(tokens.shape, bool)
    for b, start in enumerate(starts):
      tokens[b, start : start + 5] = self.row
      mask[b, start : start + 5] = True
    actual = all_logits(self.model, self.params, tokens, mask)
    for b, start in enumerate(starts):
      np.testing.assert_allclose(
        actual[b, start : start + 5], self.alone, atol=1e-5
      )
    chex.assert_tree_all_finite(actual)

  def test_a_row_of_padding_gives_no_gradient_and_no_nan(self):
    tokens = np.stack([self.row, self.row])
    mask = np.array([[True] * 5, [False] * 5])

    @jax.jit
    @jax.grad
    def gradient(params, tokens, mask):
      logits = all_logits(self.model, params, tokens, mask)
      return jnp.sum(logits**2, where=mask[..., None])

    chex.assert_trees_all_close(
      gradient(self.params, tokens, mask),
      gradient(self.params, tokens[:1], mask[:1]),
      atol=1e-4,
    )

  def test_packed_examples_equal_separate_rows(self):
    lengths = (2, 1, 5)
    rows = [self.row[:2], self.row[:1], self.row]
    packed = np.concatenate([*rows, [0, 0]]).astype(np.int32)[None]
    segments = np.repeat([1, 2, 3, 0], [*lengths, 2])[None]
    actual = all_logits(
      self.model, self.params, packed, segments > 0, None, segments
    )[0]
    start = 0
    for length in lengths:  # Each a beginning of the row, which is causal.
      np.testing.assert_allclose(
        actual[start : start + length], self.alone[:length], atol=1e-5
      )
      start += length

  def test_given_positions_replace_those_of_the_mask(self):
    mask = np.ones((1, 5), bool)

    def at(positions):
      positions = np.asarray(positions, np.int32)[None]
      return all_logits(
        self.model, self.params, self.row[None], mask, positions
      )[0]

    # Only distances count.
    np.testing.assert_allclose(at(np.arange(5) + 40), self.alone, atol=1e-4)
    spread = at(3 * np.arange(5))
    self.assertGreater(np.abs(spread - self.alone).max(), 1e-2)


class ComputeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.tokens = np.arange(10, dtype=np.int32).reshape(2, 5)
    self.mask = np.ones(self.tokens.shape, bool)

  def loss(self, config):
    model = language_model(config)

    def loss(params):
      hidden = model.hidden(params, self.tokens, self.mask)
      return -jnp.mean(model.token_logps(params, hidden, self.tokens))

    return loss

  def test_remat_changes_no_gradient(self):
    plain = dataclasses.replace(TINY, layers=DEEP)
    policy = jax.checkpoint_policies.dots_saveable
    remat = dataclasses.replace(plain, remat=policy)
    params = language_model(plain).init(jax.random.key(0))
    chex.assert_trees_all_close(
      jax.jit(jax.grad(self.loss(plain)))(params),
      jax.jit(jax.grad(self.loss(remat)))(params),
      atol=1e-6,
    )
    self.assertIn('remat', str(jax.make_jaxpr(self.loss(remat))(params)))

  def test_layers_that_differ_are_one_loop(self):
    """As a window and a rotation that each layer looks up."""
    local = Local(window=2, layers=(True, False) * 4)
    text = {}
    for config in (
      dataclasses.replace(TINY, layers=8),
      dataclasses.replace(TINY, layers=8, local=local),
    ):
      params = language_model(config).init(jax.random.key(0))
      text[config.local] = str(jax.make_jaxpr(self.loss(config))(params))
    counts = [one.count('dot_general') for one in text.values()]
    self.assertEqual(counts[0], counts[1] - 1)  # The other table of turns.

  def test_parameters_may_be_bfloat16(self):
    config = dataclasses.replace(TINY, param_dtype='bfloat16')
    params = language_model(config).init(jax.random.key(0))
    wide = language_model(TINY).init(jax.random.key(0))
    chex.assert_trees_all_equal(
      params, jax.tree.map(lambda x: x.astype(jnp.bfloat16), wide)
    )
    exact = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    np.testing.assert_allclose(
      all_logits(language_model(config), params, self.tokens, self.mask),
      all_logits(language_model(TINY), exact, self.tokens, self.mask),
      atol=1e-6,
    )

  def test_bfloat16_is_near_float32(self):
    half = dataclasses.replace(TINY, compute_dtype='bfloat16')
    params = language_model(TINY).init(jax.random.key(0))
    model = language_model(half)
    hidden = jax.eval_shape(model.hidden, params, self.tokens, self.mask)
    self.assertEqual(hidden.dtype, jnp.bfloat16)
    actual = all_logits(model, params, self.tokens, self.mask)
    self.assertEqual(actual.dtype, jnp.float32)
    expected = all_logits(language_model(TINY), params, self.tokens, self.mask)
    np.testing.assert_allclose(actual, expected, atol=0.1)
    loss, gradients = jax.jit(jax.value_and_grad(self.loss(half)))(params)
    self.assertEqual(loss.dtype, jnp.float32)
    chex.assert_trees_all_equal_dtypes(gradients, params)
    chex.assert_tree_all_finite(gradients)

  def test_gradients_match_finite_differences(self):
    params = language_model(TINY).init(jax.random.key(0))
    jax.test_util.check_grads(
      jax.jit(self.loss(TINY)),
      (params,),
      order=1,
      modes=['rev'],
      eps=2e-3,
      rtol=0.01,
    )


class ShapeTest(parameterized.TestCase):
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
