"""The bounds of a batch over eight devices, in value and gradient."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.sharding import NamedSharding, PartitionSpec

from rlhf_jax.kernels import bottleneck

ROWS, EVERYWHERE = PartitionSpec('data'), PartitionSpec()
B, D, d = 16, 5, 3
BOUNDS = (
  ('jensen_shannon', bottleneck.jensen_shannon),
  ('nwj', bottleneck.nwj),
  ('info_nce', bottleneck.info_nce),
)


def sample():
  """Parameters, two views' features, and both kinds of pairs of 16 rows.

  One row is padding and three are of one prompt, so that shards do not have
  equally many of either kind.
  """
  draw = np.random.default_rng(0)
  params = {
    'encoder': draw.normal(size=(D, d)).astype(np.float32) * 0.5,
    'critic': draw.normal(size=(d, d)).astype(np.float32) * 0.5,
  }
  features = draw.normal(size=(2, B, D)).astype(np.float32)
  mask = np.arange(B) != B - 1
  ids = np.maximum(np.arange(B), 2)
  positives = np.asarray(bottleneck.positive_pairs(mask))
  negatives = np.asarray(bottleneck.negative_pairs(ids, mask))
  return params, (*features, positives, negatives)


def latents(params, features):
  return jnp.tanh(features @ params['encoder'])


def whole(bound, params, first, second, positives, negatives):
  """The bound of a whole batch, as on one device."""
  z1, z2 = latents(params, first), latents(params, second)
  return bound(z1 @ params['critic'] @ z2.T, positives, negatives)


def in_shard(bound, params, first, second, positives, negatives):
  """The same from a shard's rows and everyone's second views."""
  z1, z2 = latents(params, first), latents(params, second)
  z2 = jax.lax.all_gather(z2, 'data', tiled=True)
  scores = z1 @ params['critic'] @ z2.T
  return bound(scores, positives, negatives, axis_name='data')


def in_shard_alone(bound, params, first, second, positives, negatives):
  """A mistake: a shard's rows compared with that shard's alone."""
  start = jax.lax.axis_index('data') * first.shape[0]
  size = first.shape[0]
  own = [
    jax.lax.dynamic_slice_in_dim(x, start, size, axis=1)
    for x in (positives, negatives)
  ]
  z1, z2 = latents(params, first), latents(params, second)
  return bound(z1 @ params['critic'] @ z2.T, *own, axis_name='data')


class ShardedTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.mesh = jax.make_mesh(
      (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
    )
    self.params, self.batch = sample()

  def shard(self, function):
    return jax.jit(
      jax.shard_map(
        function,
        mesh=self.mesh,
        in_specs=(EVERYWHERE, *[ROWS] * 4),
        out_specs=EVERYWHERE,
      )
    )

  def expected(self, bound):
    step = jax.value_and_grad(functools.partial(whole, bound))
    return step(self.params, *self.batch)

  def check(self, found, expected):
    chex.assert_trees_all_close(
      jax.device_get(found), jax.device_get(expected), atol=1e-5, rtol=1e-5
    )

  @parameterized.named_parameters(*BOUNDS)
  def test_sharded_inputs(self, bound):
    batch = jax.device_put(self.batch, NamedSharding(self.mesh, ROWS))
    params = jax.device_put(self.params, NamedSharding(self.mesh, EVERYWHERE))
    step = jax.jit(jax.value_and_grad(functools.partial(whole, bound)))
    self.check(step(params, *batch), self.expected(bound))

  @parameterized.named_parameters(*BOUNDS)
  def test_differentiated_outside(self, bound):
    form = self.shard(functools.partial(in_shard, bound))
    found = jax.value_and_grad(form)(self.params, *self.batch)
    self.check(found, self.expected(bound))

  @parameterized.named_parameters(*BOUNDS)
  def test_differentiated_inside_with_each_shard_s_own_parameters(self, bound):
    # Gradients are each shard's part, and have to be summed.
    def step(params, *batch):
      own = jax.lax.pcast(params, 'data', to='varying')
      form = jax.value_and_grad(functools.partial(in_shard, bound))
      value, slopes = form(own, *batch)
      return value, jax.lax.psum(slopes, 'data')

    found = self.shard(step)(self.params, *self.batch)
    self.check(found, self.expected(bound))

  @parameterized.named_parameters(*BOUNDS)
  def test_differentiated_inside_with_shared_parameters(self, bound):
    # JAX sums them itself: a second sum would be wrong.
    step = jax.value_and_grad(functools.partial(in_shard, bound))
    found = self.shard(step)(self.params, *self.batch)
    self.check(found, self.expected(bound))

  def test_a_missing_kind_is_noticed_over_all_shards_and_not_in_one(self):
    *others, negatives = self.batch
    for kept, is_zero in (
      (np.zeros_like(negatives), True),
      (negatives & (np.arange(B) == 3)[:, None], False),
    ):
      for _, bound in BOUNDS:
        batch = *others, kept
        form = self.shard(functools.partial(in_shard, bound))
        found = form(self.params, *batch)
        self.assertEqual(float(found) == 0.0, is_zero)
        self.check(found, whole(bound, self.params, *batch))

  def test_negatives_of_a_shard_alone_are_another_gradient(self):
    bound = bottleneck.jensen_shannon
    form = self.shard(functools.partial(in_shard_alone, bound))
    _, slopes = jax.value_and_grad(form)(self.params, *self.batch)
    _, expected = self.expected(bound)
    gap = max(np.abs(slopes[k] - expected[k]).max() for k in slopes)
    self.assertGreater(gap, 1e-2)


if __name__ == '__main__':
  absltest.main()
