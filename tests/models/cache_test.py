"""Decoding through the cache equals reading whole rows."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import TransformerConfig, language_model, layers
from rlhf_jax.models.config import (
  MLP,
  Attention,
  Local,
  Norm,
  Positions,
  Residual,
  gelu,
)
from rlhf_jax.models.rotary import Rotary

TINY = TransformerConfig(
  vocab_size=11,
  layers=2,
  width=12,
  heads=4,
  kv_heads=2,
  head_width=4,
  mlp_width=10,
)
LOCAL = Local(window=2, layers=(True, False), rotary=Rotary(base=50.0))
FAMILY = {
  'layers': layers.UNROLLED_LAYERS + 1,
  'local': Local(
    window=4, layers=(True, False, True, True, False), rotary=Rotary(width=2)
  ),
  'norm': Norm(centred=True, from_one=True),
  'rotary': Rotary(width=2),
  'positions': Positions(count=9, offset=2),
  'attention': Attention(
    bias=True, output_bias=True, norms=True, scale=0.3, softcap=2.0
  ),
  'mlp': MLP(activation=gelu, gated=False, bias=True),
  'residual': Residual(parallel=True, output_norms=True),
}
PROMPT, RESPONSE, SAMPLES = 5, 4, 3


@functools.partial(jax.jit, static_argnums=0)
def whole(model, params, tokens, mask):
  """[N, T, V] logits without a cache."""
  return model.logits(params, model.hidden(params, tokens, mask))


@functools.partial(jax.jit, static_argnums=0)
def stepwise(model, params, prompts, mask, responses):
  """[B, K, R + 1, V] logits from a cache, one response token at a time."""
  params = model.load(params)
  samples, length = responses.shape[1:]
  logits, cache = model.prefill(params, prompts, mask, samples, length)
  found = [jnp.repeat(logits[:, None], samples, axis=1)]
  for t in range(length):
    logits, cache = model.decode_step(params, cache, responses[:, :, t])
    found.append(logits)
  return jnp.stack(found, axis=2)


class CacheTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    self.prompts = draw.integers(0, 11, (2, PROMPT)).astype(np.int32)
    self.mask = np.array([[False] * 3 + [True] * 2, [True] * PROMPT])
    shape = (2, SAMPLES, RESPONSE)
    self.responses = draw.integers(0, 11, shape).astype(np.int32)

  def rows(self):
    """The same as whole rows [B * K, P + R]."""
    prompts = np.repeat(self.prompts, SAMPLES, axis=0)
    mask = np.repeat(self.mask, SAMPLES, axis=0)
    responses = self.responses.reshape(-1, RESPONSE)
    written = np.ones(responses.shape, bool)
    return (
      np.concatenate([prompts, responses], axis=1),
      np.concatenate([mask, written], axis=1),
    )

  @parameterized.named_parameters(
    ('tied', {}),
    ('free and capped', {'tied_embeddings': False, 'logit_softcap': 1.5}),
    ('scanned', {'layers': layers.UNROLLED_LAYERS + 1, 'kv_heads': 4}),
    ('windows', {'local': Local(window=3, layers=(True, True))}),
    ('local and global', {'local': LOCAL, 'scaled_embedding': True}),
    ('all of a family', FAMILY),
  )
  def test_equals_whole_rows(self, change):
    model = language_model(dataclasses.replace(TINY, **change))
    draw = np.random.default_rng(1)  # Biases away from 0, scales from 1.
    params = jax.tree.map(
      lambda x: x + 0.2 * draw.normal(size=x.shape).astype(np.float32),
      model.init(jax.random.key(0)),
    )
    actual = stepwise(model, params, self.prompts, self.mask, self.responses)
    expected = whole(model, params, *self.rows())[:, PROMPT - 1 :]
    np.testing.assert_allclose(
      actual, expected.reshape(actual.shape), atol=1e-5
    )

  def test_refuses_more_tokens_than_positions(self):
    config = dataclasses.replace(TINY, positions=Positions(count=8))
    model = language_model(config)
    params = model.init(jax.random.key(0))
    with self.assertRaisesRegex(ValueError, 'has positions for 8'):
      model.prefill(
        model.load(params), self.prompts, self.mask, SAMPLES, RESPONSE
      )

  def test_prompts_are_stored_once(self):
    model = language_model(TINY)
    params = model.init(jax.random.key(0))
    _, cache = jax.eval_shape(
      lambda p: model.prefill(
        model.load(p), self.prompts, self.mask, SAMPLES, RESPONSE
      ),
      params,
    )
    for layer in cache.layers:
      self.assertEqual(layer.prompt_values.shape, (2, 2, PROMPT, 4))
      self.assertEqual(layer.values.shape, (2 * SAMPLES, 2, RESPONSE, 4))

  def test_bfloat16_keeps_half_of_the_bytes(self):
    model = language_model(dataclasses.replace(TINY, compute_dtype='bfloat16'))
    params = language_model(TINY).init(jax.random.key(0))
    actual = stepwise(model, params, self.prompts, self.mask, self.responses)
    self.assertEqual(actual.dtype, jnp.float32)
    expected = whole(language_model(TINY), params, *self.rows())
    expected = expected[:, PROMPT - 1 :].reshape(actual.shape)
    np.testing.assert_allclose(actual, expected, atol=0.15)
    _, cache = jax.eval_shape(
      lambda p: model.prefill(
        model.load(p), self.prompts, self.mask, SAMPLES, RESPONSE
      ),
      params,
    )
    for leaf in jax.tree.leaves(cache.layers):
      self.assertEqual(leaf.dtype, jnp.bfloat16)

  def test_loading_unstacks_layers_and_casts_all_but_norms(self):
    config = dataclasses.replace(TINY, compute_dtype='bfloat16')
    model = language_model(config)
    params = model.init(jax.random.key(0))
    loaded = model.load(params)
    self.assertLen(loaded['layers'], config.layers)
    for index, layer in enumerate(loaded['layers']):
      for (path, leaf), (_, stacked) in zip(
        jax.tree_util.tree_leaves_with_path(layer),
        jax.tree_util.tree_leaves_with_path(params['layers']),
        strict=True,
      ):
        wide = 'norm' in jax.tree_util.keystr(path)
        self.assertEqual(leaf.dtype, jnp.float32 if wide else jnp.bfloat16)
        np.testing.assert_array_equal(leaf, stacked[index].astype(leaf.dtype))
    self.assertEqual(loaded['embedding'].dtype, jnp.bfloat16)
    self.assertEqual(loaded['final_norm']['scale'].dtype, jnp.float32)

  def test_maps_over_parameters(self):
    model = language_model(TINY)
    seeds = [model.init(jax.random.key(seed)) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    inputs = (self.prompts, self.mask, self.responses)
    actual = jax.vmap(lambda p: stepwise(model, p, *inputs))(stacked)
    for seed, params in enumerate(seeds):
      expected = stepwise(model, params, *inputs)
      np.testing.assert_allclose(actual[seed], expected, atol=1e-5)


if __name__ == '__main__':
  absltest.main()
