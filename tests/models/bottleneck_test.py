"""The heads of a bottleneck against numpy's products, and what they learn."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized
from jax.test_util import check_grads

from rlhf_jax import sharding
from rlhf_jax.kernels import bottleneck
from rlhf_jax.models import BOTTLENECK, PARTITION_RULES

SIZES = {
  'width': 6,
  'latent': 3,
  'hidden': 8,
  'critic_hidden': 7,
  'critic_inputs': (3, 4),
}


def perturbed(deviation_bias=-2.0, **sizes):
  """Parameters none of which is 0, as numpy arrays in float32."""
  params = BOTTLENECK.init(
    jax.random.key(0), deviation_bias=deviation_bias, **SIZES | sizes
  )
  draw = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: np.float32(x + 0.3 * draw.normal(size=x.shape)), params
  )


def three_layers(layers, x):
  """One row through the three, in float64."""
  for name in ('first', 'second', 'last'):
    layer = layers[name]
    x = np.float64(layer['kernel']).T @ x + layer['bias']
    if name != 'last':
      x = np.maximum(x, 0.0)
  return x


def sample(*shape, seed=1):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class EncodeTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(((6,),), ((4, 6),), ((2, 5, 6),))
  def test_matches_three_products(self, shape):
    params, features = perturbed(), sample(*shape)
    means, raw = self.variant(BOTTLENECK.encode)(params, features)
    self.assertEqual((means.shape, raw.shape), ((*shape[:-1], 3),) * 2)
    for found, name in ((means, 'mean'), (raw, 'deviation')):
      for place in np.ndindex(shape[:-1]):
        expected = three_layers(params[name], features[place])
        np.testing.assert_allclose(found[place], expected, atol=1e-5)

  def test_is_float32_from_what_the_trunk_computes_in(self):
    params, features = perturbed(), jnp.asarray(sample(4, 6), jnp.bfloat16)
    found = BOTTLENECK.encode(params, features)
    chex.assert_type(found, jnp.float32)
    exact = BOTTLENECK.encode(params, features.astype(jnp.float32))
    chex.assert_trees_all_equal(found, exact)

  def test_gradients(self):
    # Features far from where a ReLU has its corner, as most random ones are.
    check_grads(
      BOTTLENECK.encode,
      (perturbed(), sample(2, 6)),
      order=1,
      modes=['rev'],
      eps=1e-3,
      rtol=2e-2,
      atol=2e-2,
    )


class ScoresTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_are_the_critic_of_each_pair_put_together(self):
    params, left, right = perturbed(), sample(5, 3), sample(2, 4, seed=2)
    found = self.variant(BOTTLENECK.scores)(params, left, right)
    self.assertEqual((found.shape, found.dtype), ((5, 2), jnp.float32))
    for i in range(5):
      for j in range(2):
        together = np.concatenate([left[i], right[j]])
        expected = three_layers(params['critic'], together)
        np.testing.assert_allclose(found[i, j], expected[0], atol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_symmetric_ones_are_the_mean_of_both_orders(self):
    params = perturbed(critic_inputs=(3, 3))
    left, right = sample(5, 3), sample(4, 3, seed=2)
    found = self.variant(BOTTLENECK.symmetric_scores)(params, left, right)
    for i in range(5):
      for j in range(4):
        orders = (left[i], right[j]), (right[j], left[i])
        expected = np.mean(
          [three_layers(params['critic'], np.concatenate(o)) for o in orders]
        )
        np.testing.assert_allclose(found[i, j], expected, atol=1e-5)

  def test_views_that_change_places_leave_the_bound(self):
    params = perturbed(critic_inputs=(3, 3))
    left, right = sample(5, 3), sample(5, 3, seed=2)
    one = np.eye(5, dtype=bool)

    def bound(scores, z1, z2):
      return bottleneck.jensen_shannon(scores(params, z1, z2), one, ~one)

    there = bound(BOTTLENECK.symmetric_scores, left, right)
    back = bound(BOTTLENECK.symmetric_scores, right, left)
    np.testing.assert_allclose(there, back, rtol=1e-6)
    plain = bound(BOTTLENECK.scores, left, right)
    turned = bound(BOTTLENECK.scores, right, left)
    self.assertGreater(abs(plain - turned), 1e-3)

  def test_gradients(self):
    check_grads(
      BOTTLENECK.scores,
      (perturbed(), sample(3, 3), sample(2, 4, seed=2)),
      order=1,
      modes=['rev'],
      eps=1e-3,
      rtol=2e-2,
      atol=2e-2,
    )

  def test_refuses_other_widths(self):
    params = perturbed()
    for left, right in (
      (sample(5, 3), sample(5, 3)),
      (sample(5, 4), sample(5, 4)),
      (sample(3), sample(5, 4)),
    ):
      with self.assertRaises(AssertionError):
        BOTTLENECK.scores(params, left, right)
    with self.assertRaises(AssertionError):
      BOTTLENECK.symmetric_scores(params, sample(5, 3), sample(5, 4))


class InitTest(parameterized.TestCase):
  def test_shapes(self):
    params = BOTTLENECK.init(jax.random.key(0), deviation_bias=None, **SIZES)
    shapes = {
      sharding.leaf_path(path): leaf.shape
      for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    encoder = {'first': (6, 8), 'second': (8, 8), 'last': (8, 3)}
    critic = {'first': (7, 7), 'second': (7, 7), 'last': (7, 1)}
    expected = {}
    for name, layers in (
      ('mean', encoder),
      ('deviation', encoder),
      ('critic', critic),
    ):
      for layer, shape in layers.items():
        expected[f'{name}/{layer}/kernel'] = shape
        expected[f'{name}/{layer}/bias'] = shape[1:]
    self.assertEqual(shapes, expected)
    for path in (f'bottleneck/{path}' for path in shapes):
      found = [rule for rule, _ in PARTITION_RULES if re.search(rule, path)]
      self.assertLen(found, 1, path)

  def test_starts_at_no_information_and_the_deviation_asked_for(self):
    params = BOTTLENECK.init(jax.random.key(0), deviation_bias=-2.0, **SIZES)
    _, raw = BOTTLENECK.encode(params, sample(9, 6))
    np.testing.assert_array_equal(raw, -2.0)
    scores = BOTTLENECK.scores(params, sample(5, 3), sample(4, 4))
    np.testing.assert_array_equal(scores, 0.0)

  @parameterized.parameters(32, 512)
  def test_means_vary_as_features_do_whatever_the_width(self, width):
    sizes = SIZES | {'width': width, 'hidden': 256, 'latent': 64}
    params = BOTTLENECK.init(jax.random.key(1), deviation_bias=None, **sizes)
    means, raw = BOTTLENECK.encode(params, sample(400, width))
    for found in (means, raw):
      square = float(jnp.mean(found**2))
      self.assertBetween(square, 0.6, 1.6)
    self.assertGreater(float(jnp.max(jnp.abs(means - raw))), 0.5)

  def test_keys_matter(self):
    first, second = (
      BOTTLENECK.init(jax.random.key(i), deviation_bias=None, **SIZES)
      for i in (0, 1)
    )
    for name in ('mean', 'deviation', 'critic'):
      gap = first[name]['first']['kernel'] - second[name]['first']['kernel']
      self.assertGreater(float(jnp.min(jnp.abs(gap))), 0.0)


@pytest.mark.long
class TrainedCriticTest(absltest.TestCase):
  def test_reads_the_information_of_correlated_gaussians(self):
    correlation, size = 0.8, 256
    params = BOTTLENECK.init(
      jax.random.key(0),
      width=1,
      latent=1,
      hidden=1,
      critic_hidden=256,
      critic_inputs=(1, 1),
      deviation_bias=None,
    )['critic']
    optimizer = optax.adam(5e-4)
    masks = [
      jnp.broadcast_to(jnp.array(x), (size, 2))
      for x in ([True, False], [False, True])
    ]

    def scores(params, key):
      """[B, 2], each x with its own y and with the y of the next row."""
      x, e = jax.random.normal(key, (2, size, 1, 1))
      y = correlation * x + np.sqrt(1.0 - correlation**2) * e
      paired = jnp.concatenate([y, jnp.roll(y, -1, axis=0)], axis=1)
      critic = jax.vmap(
        lambda a, b: BOTTLENECK.scores({'critic': params}, a, b)
      )
      return critic(x, paired)[:, 0]

    def step(carry, key):
      params, state = carry
      slopes = jax.grad(
        lambda p: -bottleneck.jensen_shannon(scores(p, key), *masks)
      )(params)
      updates, state = optimizer.update(slopes, state)
      return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(params):
      keys = jax.random.split(jax.random.key(1), 3000)
      carry, _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
      fresh = jax.random.split(jax.random.key(2), 200)

      def read_out(key):
        return bottleneck.nwj_read_out(scores(carry[0], key), *masks)

      return jnp.mean(jax.lax.map(read_out, fresh))

    exact = -0.5 * np.log(1.0 - correlation**2)
    found = train(params)
    self.assertLess(abs(found - exact), 0.12 * exact)


if __name__ == '__main__':
  absltest.main()
