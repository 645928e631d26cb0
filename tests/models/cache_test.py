"""Decoding through the cache equals reading whole rows."""

import dataclasses
import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import (
  TransformerConfig,
  cache,
  language_model,
  layer_cache,
  layers,
)
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
  logits, stored = model.prefill(params, prompts, mask, samples, length)
  found = [jnp.repeat(logits[:, None], samples, axis=1)]
  for t in range(length):
    logits, stored = model.decode_step(params, stored, responses[:, :, t])
    found.append(logits)
  return jnp.stack(found, axis=2)


class ColumnsTest(parameterized.TestCase):
  @parameterized.parameters(
    (4, (4,)), (256, (256,)), (300, (256, 44)), (1500, (256, 256, 512, 476))
  )
  def test_blocks_grow_with_what_is_before_them(self, columns, sizes):
    self.assertEqual(layer_cache.blocks(columns), sizes)
    with mock.patch.object(layer_cache, 'platform', lambda: 'gpu'):
      self.assertEqual(layer_cache.blocks(columns), (columns,))

  def test_one_after_the_other_where_all_began_together(self):
    state, columns = cache.Cache.of_prompts((), jnp.ones((2, 3), bool), 5), []
    for _ in range(5):
      state, column = state.with_column()
      columns.append(int(column))
      state = state.replace(step=state.step + 1)
    self.assertEqual(columns, [0, 1, 2, 3, 4])

  def test_no_token_is_lost_and_few_columns_serve_short_responses(self):
    count, most, room = 3, 6, 16
    none = cache.Cache.of_prompts((), jnp.ones((1, 2), bool), room)
    state, used = (
      cache.Cache.of_prompts((), jnp.ones((count, 2), bool), room),
      0,
    )
    for t in range(60):
      state, column = state.with_column()
      used = max(used, int(column))
      kept = set(np.asarray(state.stored_at).tolist())
      needed = range(int(state.began.min()), int(state.step) + 1)
      self.assertLessEqual(set(needed), kept)
      state = state.replace(step=state.step + 1)
      if t % (most // count) == 1:  # Each in turn; a place of 3 is none.
        state = state.replaced(none, jnp.array([t // 2 % (count + 1)]))
    self.assertLess(used, 10)
    self.assertGreater(used, most - 1)

  def test_who_has_long_finished_takes_no_more_than_all_columns(self):
    state = cache.Cache.of_prompts((), jnp.ones((2, 2), bool), 4)
    none = cache.Cache.of_prompts((), jnp.ones((1, 2), bool), 4)
    for _ in range(30):  # The first is never replaced.
      state, _ = state.with_column()
      kept = set(np.asarray(state.stored_at).tolist())
      needed = range(int(state.began[1]), int(state.step) + 1)
      self.assertLessEqual(set(needed), kept)
      state = state.replace(step=state.step + 1)
      if (state.step - state.began)[1] == 4:
        state = state.replaced(none, jnp.array([1]))


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

  @parameterized.named_parameters(
    ('capped', {'logit_softcap': 1.5}), ('all of a family', FAMILY)
  )
  def test_block_by_block_they_are_the_same(self, change):
    model = language_model(dataclasses.replace(TINY, **change))
    params = model.init(jax.random.key(0))
    given = model, params, self.prompts, self.mask, self.responses
    with mock.patch.object(
      layer_cache, 'FIRST_BLOCK', 1
    ):  # Of 1, 1 and 2 columns.
      found = jax.jit(stepwise.__wrapped__, static_argnums=0)(*given)
    np.testing.assert_allclose(found, stepwise(*given), atol=1e-5)

  def test_blocks_that_hold_nothing_are_not_read(self):
    model = language_model(TINY)
    loaded = model.load(model.init(jax.random.key(0)))
    with mock.patch.object(layer_cache, 'FIRST_BLOCK', 2):
      _, state = model.prefill(loaded, self.prompts, self.mask, SAMPLES, 8)
      step = jax.jit(model.decode_step)

      def poisoned(state, first):  # A 0 weight times NaN would be NaN.
        def spoil(blocks):
          rest = [jnp.full_like(block, jnp.nan) for block in blocks[first:]]
          return blocks[:first] + tuple(rest)

        layers_of = tuple(
          layer.replace(keys=spoil(layer.keys), values=spoil(layer.values))
          for layer in state.layers
        )
        return state.replace(layers=layers_of)

      for t in range(4):  # Blocks of 2, 2 and 4 columns.
        first = 1 if t < 2 else 2
        spoilt, _ = step(loaded, poisoned(state, first), self.responses[..., t])
        logits, state = step(loaded, state, self.responses[..., t])
        np.testing.assert_array_equal(spoilt, logits)
      spoilt, _ = step(loaded, poisoned(state, 2), self.responses[..., 0])
      self.assertTrue(np.isnan(spoilt).all())

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
    _, stored = jax.eval_shape(
      lambda p: model.prefill(
        model.load(p), self.prompts, self.mask, SAMPLES, RESPONSE
      ),
      params,
    )
    for layer in stored.layers:
      self.assertEqual(layer.prompt_values.shape, (2, 2, PROMPT, 4))
      (values,) = layer.values
      self.assertEqual(values.shape, (2 * SAMPLES, 2, RESPONSE, 4))

  def test_bfloat16_keeps_half_of_the_bytes(self):
    model = language_model(dataclasses.replace(TINY, compute_dtype='bfloat16'))
    params = language_model(TINY).init(jax.random.key(0))
    actual = stepwise(model, params, self.prompts, self.mask, self.responses)
    self.assertEqual(actual.dtype, jnp.float32)
    expected = whole(language_model(TINY), params, *self.rows())
    expected = expected[:, PROMPT - 1 :].reshape(actual.shape)
    np.testing.assert_allclose(actual, expected, atol=0.15)
    _, stored = jax.eval_shape(
      lambda p: model.prefill(
        model.load(p), self.prompts, self.mask, SAMPLES, RESPONSE
      ),
      params,
    )
    for leaf in jax.tree.leaves(stored.layers):
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
