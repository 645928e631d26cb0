"""A head on features that are kept: its optimum, and how it is rewritten."""

import jax
import numpy as np
from absl.testing import absltest, parameterized
from scipy import optimize, special

from rlhf_jax.learners.reward import head
from rlhf_jax.methods import reward_head
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.training.optimizers import Adam, cosine
from rlhf_jax.types import Models
from tests import toy

N, D = 48, 5
MODELS = Models(reward=toy.SCALAR)


def drawn(seed=0):
  """Features [N, 2, D] of pairs, some channels large, some far from 0."""
  draw = np.random.default_rng(seed)
  sizes, means = np.array([190.0, 1e-2, 1.0, 3.0, 1.0]), [400, 0, -1, 0, 5]
  prompts = draw.normal(size=(N, 1, D)) * 3
  found = prompts + draw.normal(size=(N, 2, D))
  found[:, 0] += 0.3 * np.array([1, -1, 0, 0.5, 0])
  return (found * sizes + means).astype(np.float32)


def spread_by_definition(features):
  """Mean over all, and the root of the variance within prompts, in numpy."""
  mean = features.reshape(-1, D).mean(axis=0, dtype=float)
  return mean, np.mean(np.var(features, axis=1, ddof=1, dtype=float), 0) ** 0.5


def batch_of(features, seed=0):
  return toy.comparisons(len(features), seed).replace(features=features)


def state_of(config, kernel=None, bias=0.0):
  kernel = np.zeros((D, 1), np.float32) if kernel is None else kernel
  params = {
    'reward': {
      'trunk': {'kept': np.ones(3, np.float32)},
      'head': {'kernel': kernel, 'bias': np.full(1, bias, np.float32)},
    }
  }
  return training.create(params, config.make_optimizer())


class HeadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.features = drawn()
    self.seen = head.spread(list(self.features))

  def test_spread_is_within_prompts(self):
    mean, deviation = spread_by_definition(self.features)
    np.testing.assert_allclose(self.seen['mean'], mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(self.seen['deviation'], deviation, rtol=1e-5)

  def test_spread_of_lists_and_of_what_never_varies(self):
    lists = [np.array([[1.0, 7], [3, 7], [5, 7]]), np.array([[0.0, 7]])]
    seen = head.spread(lists)
    np.testing.assert_allclose(seen['mean'], [9 / 4, 7])
    # (4 + 0 + 4) / (4 responses - 2 prompts).
    np.testing.assert_allclose(seen['deviation'], [2.0, 1.0])

  @parameterized.parameters(0.01, 0.3)
  def test_reaches_the_optimum_of_ridge_regression(self, ridge):
    config = reward_head.Config(
      steps=1500,
      batch_size=N,
      ridge=ridge,
      optimizer=Adam(learning_rate=0.03, decay=cosine, max_grad_norm=1e9),
    )
    mean, deviation = spread_by_definition(self.features)
    x = (self.features.astype(float) - mean) / deviation
    gaps = x[:, 0] - x[:, 1]

    def objective(v):
      return -np.mean(special.log_expit(gaps @ v)) + ridge * v @ v

    best = optimize.minimize(objective, np.zeros(D), tol=1e-10).x
    batch = batch_of(self.features).replace(weight=np.ones(N, np.float32))
    batch = batch.replace(margins=np.zeros(N, np.float32))
    step = jitted(reward_head.update)
    state = state_of(config)
    for _ in range(config.steps):
      state, metrics = step(
        state,
        {'features': self.seen},
        batch,
        jax.random.key(0),
        models=MODELS,
        optimizer=config.make_optimizer(),
        config=config,
      )
    reward = state.params['reward']
    kernel = reward['head']['kernel'][:, 0]
    np.testing.assert_allclose(kernel * deviation, best, atol=2e-3)
    # Of the features as they are, scores are those of standardised ones.
    np.testing.assert_allclose(
      self.features @ np.asarray(kernel, float)
      + float(reward['head']['bias'][0]),
      x @ best,
      atol=2e-2,
    )
    right = np.mean((gaps @ best > 0) + 0.5 * (gaps @ best == 0))
    self.assertAlmostEqual(float(metrics['accuracy'].value), right, places=1)
    np.testing.assert_array_equal(reward['trunk']['kept'], np.ones(3))

  def test_rewriting_changes_no_score(self):
    draw = np.random.default_rng(1)
    kernel = draw.normal(size=(D, 2)).astype(np.float32) / 100
    own = {'kernel': kernel, 'bias': np.array([1.0, -2.0], np.float32)}
    scores = self.features @ kernel + own['bias']
    standard = head.standardise(own, self.seen)
    x = (self.features - self.seen['mean']) / self.seen['deviation']
    np.testing.assert_allclose(
      x @ standard['kernel'] + standard['bias'], scores, atol=1e-3
    )
    again = head.destandardise(standard, self.seen)
    for part in own:
      np.testing.assert_allclose(again[part], own[part], atol=1e-4)

  def test_a_step_of_nothing_leaves_the_head(self):
    config = reward_head.Config(steps=1, batch_size=N, ridge=0.0)
    kernel = np.full((D, 1), 1e-3, np.float32)
    state = state_of(config, kernel, 2.0)
    batch = batch_of(self.features).replace(weight=np.zeros(N, np.float32))
    state, _ = reward_head.update(
      state,
      {'features': self.seen},
      batch,
      jax.random.key(0),
      models=MODELS,
      optimizer=config.make_optimizer(),
      config=config,
    )
    found = state.params['reward']['head']
    np.testing.assert_allclose(found['kernel'], kernel, rtol=1e-5)
    np.testing.assert_allclose(found['bias'], 2.0, atol=1e-4)

  def test_what_is_not_there_does_not_count(self):
    config = reward_head.Config(steps=1, micro_batches=2)
    batch = batch_of(self.features[:4])
    weight = np.array([1, 0, 1, 1], np.float32)
    other = self.features[:4].copy()
    other[1] = 1e3
    found = []
    for features in (self.features[:4], other):
      terms, _ = reward_head.loss(
        {'reward': {'head': {'kernel': np.ones((D, 1), np.float32)}}},
        {'features': self.seen},
        batch.replace(features=features, weight=weight),
        jax.random.key(0),
        models=MODELS,
        config=config,
      )
      found.append(float(terms['preference'][1].value))
    self.assertEqual(*found)


if __name__ == '__main__':
  absltest.main()
