"""Scalar models read the right token, wherever padding is."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import (
  TransformerConfig,
  language_model,
  last_token,
  mean_of_tokens,
  scalar_model,
  trunk_from_policy,
)
from rlhf_jax.models.config import Local

TINY = TransformerConfig(
  vocab_size=11,
  layers=1,
  width=12,
  heads=2,
  kv_heads=2,
  head_width=4,
  mlp_width=10,
)
FREE = dataclasses.replace(TINY, tied_embeddings=False)


class ScalarModelTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.model = scalar_model(TINY, scores=2)
    params = self.model.init(jax.random.key(0))
    draw = np.random.default_rng(0)
    # A bias and a kernel that no mistake would leave alone.
    params['head'] = {
      'kernel': draw.normal(size=(12, 2)).astype(np.float32),
      'bias': np.array([3.0, -5.0], np.float32),
    }
    self.params = params
    self.tokens = draw.integers(0, 11, (6, 7)).astype(np.int32)
    self.mask = np.array(
      [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
      ],
      bool,
    )
    policy = language_model(TINY)
    self.hidden = np.asarray(
      jax.jit(policy.hidden)(params['trunk'], self.tokens, self.mask),
      np.float64,
    )

  def read(self, hidden):
    head = self.params['head']
    return hidden @ np.asarray(head['kernel'], np.float64) + head['bias']

  def test_scores_read_the_last_real_token(self):
    last = {0: 6, 1: 6, 2: 2, 3: 4, 4: 6}
    features = jax.jit(self.model.features)(self.params, self.tokens, self.mask)
    scores = jax.jit(self.model.scores)(self.params, self.tokens, self.mask)
    self.assertEqual(scores.dtype, jnp.float32)
    for row, column in last.items():
      expected = self.hidden[row, column]
      np.testing.assert_allclose(features[row], expected, atol=1e-5)
      np.testing.assert_allclose(scores[row], self.read(expected), atol=1e-4)
    chex.assert_tree_all_finite((features, scores))

  def test_a_mean_is_over_the_real_tokens(self):
    model = scalar_model(TINY, scores=2, reading=mean_of_tokens)
    features = jax.jit(model.features)(self.params, self.tokens, self.mask)
    scores = jax.jit(model.scores)(self.params, self.tokens, self.mask)
    for row in range(5):
      expected = self.hidden[row][self.mask[row]].mean(axis=0)
      np.testing.assert_allclose(features[row], expected, atol=1e-5)
      np.testing.assert_allclose(scores[row], self.read(expected), atol=1e-4)
    np.testing.assert_array_equal(features[5], np.zeros(12))

  def test_padding_is_inert(self):
    hidden = self.hidden.astype(np.float32)
    junk = np.where(self.mask[..., None], hidden, np.nan)
    for reading in (last_token, mean_of_tokens):
      clean, dirty = (reading(x, self.mask)[:5] for x in (hidden, junk))
      np.testing.assert_array_equal(clean, dirty)
      slope = jax.grad(lambda x, read=reading: read(x, self.mask)[:5].sum())
      self.assertTrue(np.isfinite(slope(junk)).all())

  def test_values_are_the_first_score_after_every_token(self):
    values = jax.jit(self.model.values)(self.params, self.tokens, self.mask)
    self.assertEqual(values.shape, (6, 7))
    expected = self.read(self.hidden)[..., 0]
    np.testing.assert_allclose(values, expected, atol=1e-4)

  @parameterized.parameters(last_token, mean_of_tokens)
  def test_padding_does_not_move_a_score(self, reading):
    scores = jax.jit(scalar_model(TINY, scores=2, reading=reading).scores)
    row = self.tokens[0, :3]
    alone = scores(self.params, row[None], np.ones((1, 3), bool))[0]
    tokens = np.full((3, 7), 10, np.int32)
    mask = np.zeros((3, 7), bool)
    for b, start in enumerate((0, 2, 4)):
      tokens[b, start : start + 3] = row
      mask[b, start : start + 3] = True
    padded = scores(self.params, tokens, mask)
    np.testing.assert_allclose(padded, np.stack([alone] * 3), atol=1e-5)

  def test_the_head_reads_the_head_alone(self):
    hidden = self.hidden.astype(np.float32)
    actual = self.model.head({'head': self.params['head']}, hidden)
    np.testing.assert_allclose(actual, self.read(hidden), atol=1e-4)
    half = jnp.asarray(hidden, jnp.bfloat16)
    actual = self.model.head({'head': self.params['head']}, half)
    self.assertEqual(actual.dtype, jnp.float32)

  def test_starts_small_and_centred(self):
    params = self.model.init(jax.random.key(0))
    np.testing.assert_array_equal(params['head']['bias'], np.zeros(2))
    scores = self.model.scores(params, self.tokens, self.mask)
    self.assertLess(np.abs(scores).max(), 0.5)
    self.assertGreater(np.abs(scores).max(), 0.01)
    self.assertGreater(np.abs(scores[:, 0] - scores[:, 1]).max(), 0.01)

  def test_refuses_no_score(self):
    with self.assertRaisesRegex(ValueError, 'needs 1 score or more'):
      scalar_model(TINY, scores=0)


class TrunkTest(parameterized.TestCase):
  @parameterized.parameters(TINY, FREE)
  def test_a_trunk_starts_from_the_policy(self, config):
    policy = language_model(config)
    policy_params = policy.init(jax.random.key(1))
    model = scalar_model(config)
    params = model.init(jax.random.key(2))
    trunk = trunk_from_policy(policy_params)
    chex.assert_trees_all_equal_shapes(trunk, params['trunk'])
    self.assertNotIn('unembedding', params['trunk'])
    self.assertIn('embedding', policy_params)
    tokens, mask = np.ones((1, 3), np.int32), np.ones((1, 3), bool)
    features = model.features({'trunk': trunk}, tokens, mask)
    hidden = policy.hidden(policy_params, tokens, mask)
    np.testing.assert_array_equal(features[0], hidden[0, -1])

  @parameterized.parameters(TINY, FREE)
  def test_the_first_layer_of_two_is_a_model_of_one(self, config):
    two = dataclasses.replace(
      config, layers=2, local=Local(window=2, layers=(True, False))
    )
    policy = language_model(two).init(jax.random.key(1))
    one = dataclasses.replace(config, local=Local(window=2, layers=(True,)))
    self.assertEqual(two.first(1), one)
    params = {k: v for k, v in policy.items() if k != 'unembedding'}
    params['layers'] = jax.tree.map(lambda x: x[0:1], policy['layers'])
    model = scalar_model(two.first(1))
    cut = model.trunk(policy)
    chex.assert_trees_all_equal(cut, params)
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, 11, (2, 5)).astype(np.int32)
    mask = np.ones((2, 5), bool)
    np.testing.assert_array_equal(
      model.features({'trunk': cut}, tokens, mask),
      language_model(one).hidden(params, tokens, mask)[:, -1],
    )

  def test_no_more_layers_than_there_are(self):
    with self.assertRaisesRegex(ValueError, 'first 2 layers .* model has 1'):
      TINY.first(2)


if __name__ == '__main__':
  absltest.main()
