"""Accumulation, steps and means."""

import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.training import state as training
from rlhf_jax.types import Mean
from tests import toy

ROWS, FEATURES = 12, 3
W = np.array([0.3, -1.2, 0.7])


def ragged_batch():
  random = np.random.default_rng(0)
  lengths = np.array([1, 7, 2, 5, 0, 3, 7, 1, 4, 6, 2, 0])
  return {
    'x': random.normal(size=(ROWS, 7, FEATURES)).astype(np.float32),
    'y': random.normal(size=(ROWS, 7)).astype(np.float32),
    'mask': np.arange(7) < lengths[:, None],
    'weight': (lengths > 2).astype(np.float32),
  }


def two_terms(params, frozen, batch, key, *, scale):
  """A loss with a token mean and a row mean, each over a mask of its own."""
  del frozen, key
  error = (batch['x'] @ params['w'] - batch['y']) ** 2
  size = jnp.sum(jnp.abs(batch['x'] @ params['w']), axis=-1)
  terms = {
    'error': (1.0, Mean.of(error, batch['mask'])),
    'size': (scale, Mean.of(size, batch['weight'])),
  }
  return terms, {'rows': Mean.of(batch['weight'])}


def by_definition(w, batch, scale):
  """The same objective in numpy, float64, over the whole batch at once."""
  predicted = np.einsum('btf,f->bt', batch['x'].astype(np.float64), w)
  error = (predicted - batch['y']) ** 2
  size = np.abs(predicted).sum(axis=-1)
  return error[batch['mask']].mean() + scale * size[batch['weight'] > 0].mean()


def gradient_by_definition(batch, scale):
  """[3] its gradient at W, by central differences."""
  step = 1e-5
  return [
    (by_definition(W + d, batch, scale) - by_definition(W - d, batch, scale))
    / (2 * step)
    for d in step * np.eye(FEATURES)
  ]


class GradientTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.batch = ragged_batch()
    self.params = {'w': jnp.asarray(W, jnp.float32)}

  @parameterized.parameters(1, 3)
  def test_a_term_of_coefficient_0_is_not_differentiated(self, micro_batches):
    def with_edge(params, frozen, batch, key, *, scale):
      terms, metrics = two_terms(params, frozen, batch, key, scale=scale)
      # The slope of √x is infinite at 0, and 0 · ∞ would be NaN.
      edge = jnp.sqrt(jnp.sum(0.0 * params['w'])) + batch['weight']
      terms['edge'] = (scale, Mean.of(edge, batch['weight']))
      return terms, metrics

    slope = training.gradient(with_edge, micro_batches=micro_batches)
    grads, metrics = slope(
      self.params, {}, self.batch, jax.random.key(0), scale=0.0
    )
    expected = gradient_by_definition(self.batch, 0.0)
    np.testing.assert_allclose(grads['w'], expected, rtol=1e-4)
    self.assertEqual(metrics['loss/edge'].value, 1.0)  # But it is told.

  @parameterized.parameters(1, 2, 3, 4, 6, 12)
  def test_micro_batches_equal_the_whole(self, micro_batches):
    slope = training.gradient(two_terms, micro_batches=micro_batches)
    grads, metrics = jax.jit(functools.partial(slope, scale=0.3))(
      self.params, {}, self.batch, jax.random.key(0)
    )
    expected = gradient_by_definition(self.batch, 0.3)
    np.testing.assert_allclose(grads['w'], expected, atol=1e-4)
    mask = self.batch['mask']
    error = (self.batch['x'] @ W - self.batch['y']) ** 2
    np.testing.assert_allclose(
      metrics['loss/error'].value, error[mask].mean(), rtol=1e-5
    )
    self.assertEqual(metrics['rows'].weight, ROWS)

  def test_means_of_means_would_differ(self):
    parts = [jax.tree.map(lambda x, i=i: x[i::4], self.batch) for i in range(4)]
    whole = by_definition(np.array([0.3, -1.2, 0.7]), self.batch, 0.3)
    averaged = np.mean(
      [by_definition(np.array([0.3, -1.2, 0.7]), p, 0.3) for p in parts]
    )
    self.assertGreater(abs(whole - averaged), 1e-2)

  def test_weights_need_no_forward_pass(self):
    # The first pass over micro-batches only sums masks.
    def flops(micro_batches):
      slope = training.gradient(_wide, micro_batches=micro_batches)
      program = jax.jit(slope).lower(
        jnp.zeros((256, 256)), {}, jnp.ones((8, 256)), jax.random.key(0)
      )
      return program.compile().as_text().count(' dot(')

    def _wide(params, frozen, batch, key):
      del frozen, key
      out = jnp.sum(jnp.tanh(batch @ params), axis=-1)
      return {'out': (1.0, Mean.of(out, batch[:, 0] > 0))}, {}

    # One forward and one backward product; a second forward would be a third.
    self.assertEqual(flops(2), flops(1))

  def test_an_uneven_cut_is_refused(self):
    slope = training.gradient(two_terms, micro_batches=5)
    with self.assertRaisesRegex(ValueError, '12 rows .* 5 micro-batches'):
      slope(self.params, {}, self.batch, jax.random.key(0), scale=0.3)


class StepTest(parameterized.TestCase):
  @parameterized.parameters(1, 3)
  def test_a_batch_is_cut_as_the_config_says(self, parts):
    shapes = []

    def noting(params, frozen, batch, key, *, models, config):
      shapes.append(batch['x'].shape)
      del models, config
      return two_terms(params, frozen, batch, key, scale=0.3)

    optimizer = optax.sgd(1.0)
    params = {'w': jnp.array([0.3, -1.2, 0.7])}
    moved, metrics = training.gradient_step(noting)(
      training.create(params, optimizer),
      {},
      ragged_batch(),
      jax.random.key(0),
      models=None,
      optimizer=optimizer,
      config=types.SimpleNamespace(micro_batches=parts),
    )
    self.assertEqual(set(shapes), {(ROWS // parts, 7, FEATURES)})
    self.assertEqual(moved.step, 1)
    slope = params['w'] - moved.params['w']
    np.testing.assert_allclose(
      metrics['gradient_norm'].value, np.linalg.norm(slope), rtol=1e-5
    )

  @parameterized.parameters(2, 3)
  def test_every_part_has_rows_from_all_over_the_batch(self, parts):
    seen = []

    def noting(params, frozen, batch, key):
      jax.debug.callback(lambda rows: seen.append(rows.tolist()), batch)
      return {'x': (1.0, Mean.of(params * batch))}, {}

    training.gradient(noting, micro_batches=parts)(
      jnp.float32(1.0), {}, jnp.arange(6.0), jax.random.key(0)
    )
    jax.effects_barrier()
    expected = {tuple(range(part, 6, parts)) for part in range(parts)}
    self.assertEqual({tuple(map(int, rows)) for rows in seen}, expected)


class StartTest(parameterized.TestCase):
  """Where the parameters of a learner come from."""

  KEY = jax.random.key(4)

  def test_a_policy_is_the_given_one_or_fresh(self):
    given = {'w': jnp.ones(2)}
    models = toy.MODELS
    made = training.policy_from(
      self.KEY, {'policy': given}, models=models, config=None
    )
    self.assertEqual(set(made), {'policy'})
    self.assertIs(made['policy'], given)
    chex.assert_trees_all_equal(
      training.policy_from(self.KEY, {}, models=models, config=None),
      {'policy': toy.POLICY.init(self.KEY)},
    )

  @parameterized.parameters('reward', 'ranker')
  def test_a_scalar_model_is_the_given_one_or_has_a_fresh_head(self, role):
    trunk = {'of': jnp.arange(3.0)}
    models = toy.MODELS._replace(
      reward=toy.SCALAR._replace(trunk=lambda policy: {'of': policy['w']})
    )

    def made(start, **options):
      params = training.scalar_from(
        self.KEY, start, models=models, config=None, role=role, **options
      )
      self.assertEqual(set(params), {role})
      return params[role]

    given = {'trunk': {}, 'head': {}}
    self.assertIs(made({role: given, 'policy': {'w': trunk['of']}}), given)
    head = toy.SCALAR.init(self.KEY)['head']
    chex.assert_trees_all_equal(made({}), {'trunk': {}, 'head': head})
    chex.assert_trees_all_equal(
      made({'policy': {'w': trunk['of']}}), {'trunk': trunk, 'head': head}
    )
    self.assertEqual(made({}, scores=3)['head']['kernel'].shape, (4, 3))


class DescendTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_is_a_step_of_plain_descent(self):
    optimizer = optax.sgd(0.5)
    state = training.create({'w': jnp.array([1.0, 2.0])}, optimizer)
    step = self.variant(lambda s, g: training.descend(s, g, optimizer))
    state = step(state, {'w': jnp.array([2.0, -1.0])})
    np.testing.assert_allclose(state.params['w'], [0.0, 2.5])
    self.assertEqual(state.step, 1)


class MeanTest(parameterized.TestCase):
  def test_parts_add_up(self):
    values, mask = np.array([1.0, 5.0, 9.0]), np.array([True, True, False])
    whole = Mean.of(jnp.array(values), jnp.array(mask))
    parts = Mean.of(values[:1], mask[:1]) + Mean.of(values[1:], mask[1:])
    self.assertEqual(whole.value, 3.0)
    self.assertEqual(parts.value, 3.0)

  def test_what_is_masked_may_be_anything(self):
    values = jnp.array([1.0, jnp.nan, jnp.inf])
    mask = jnp.array([True, False, False])
    self.assertEqual(Mean.of(values, mask).value, 1.0)
    slope = jax.grad(lambda v: Mean.of(v, mask).value)(values)
    np.testing.assert_array_equal(slope, [1.0, 0.0, 0.0])

  def test_nothing_counted_is_nought(self):
    empty = Mean.of(jnp.array([jnp.nan]), jnp.array([False]))
    self.assertEqual(empty.value, 0.0)
    slope = jax.grad(lambda v: Mean.of(v, jnp.array([False])).value)
    np.testing.assert_array_equal(slope(jnp.array([2.0])), [0.0])


if __name__ == '__main__':
  absltest.main()
