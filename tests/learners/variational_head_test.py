"""A bottleneck on kept features: its loss, and the head that it leaves."""

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.learners.reward import head, variational_head
from rlhf_jax.methods import inform_head
from rlhf_jax.training import state as training
from rlhf_jax.types import Models
from tests import toy

N, D, LATENT = 6, 4, 3
KEY = jax.random.key(3)
MODELS = Models(reward=toy.SCALAR)
CONFIG = inform_head.Config(steps=2, latent=LATENT)


def features():
  """[N, 2, D] of which some channels are large, and some far from 0."""
  draw = np.random.default_rng(0)
  found = draw.normal(size=(N, 2, D)) * [200.0, 0.01, 1.0, 3.0]
  return (found + [400.0, 0.0, -1.0, 0.0]).astype(np.float32)


def params():
  draw = np.random.default_rng(1)

  def linear(*shape):
    return {
      'kernel': draw.normal(size=shape).astype(np.float32),
      'bias': draw.normal(size=shape[1:]).astype(np.float32),
    }

  networks = {
    'mean': linear(D, LATENT),
    'deviation': linear(D, LATENT),
    'head': linear(LATENT, 1),
  }
  trunk = {'kept': np.ones(3, np.float32)}
  return {
    'reward': {'trunk': trunk, 'head': linear(D, 1), 'bottleneck': networks}
  }


class VariationalHeadTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.features = features()
    self.batch = toy.comparisons(N).replace(
      features=self.features,
      weight=np.ones(N, np.float32),
      margins=np.zeros(N, np.float32),
    )
    self.frozen = {'features': head.spread(list(self.features))}
    mean, deviation = self.frozen['features'].values()
    self.standard = (self.features.astype(float) - mean) / deviation
    self.config = {'models': MODELS, 'config': CONFIG}

  def apply(self, layer, x):
    return x @ np.asarray(layer['kernel'], float) + np.asarray(layer['bias'])

  def test_reads_standardised_channels(self):
    given = params()
    terms, _ = variational_head.loss(
      given, self.frozen, self.batch, KEY, **self.config
    )
    layers = given['reward']['bottleneck']
    means = self.apply(layers['mean'], self.standard)
    log_s2 = 8 * np.tanh(self.apply(layers['deviation'], self.standard) / 8)
    noise = np.asarray(jax.random.normal(KEY, means.shape), float)
    z = means + np.exp(log_s2 / 2) * noise
    scores = self.apply(layers['head'], z)[..., 0]
    gaps = scores[:, 0] - scores[:, 1]
    divergences = 0.5 * (means**2 + np.exp(log_s2) - 1 - log_s2).sum(-1)
    coef, mean = terms['divergence']
    self.assertEqual(coef, 0.1)
    np.testing.assert_allclose(
      float(mean.value), divergences.sum(axis=1).mean(), rtol=1e-4
    )
    losses = [float(m.value) for n, (_, m) in terms.items()
              if n != 'divergence']  # fmt: skip
    self.assertAlmostEqual(losses[0], np.log1p(np.exp(-gaps)).mean(), places=3)

  def test_a_step_leaves_the_trunk_and_a_head_of_its_own_channels(self):
    optimizer = CONFIG.make_optimizer()
    given = params()
    state = training.create(given, optimizer)
    moved, _ = variational_head.update(
      state, self.frozen, self.batch, KEY, optimizer=optimizer, **self.config
    )
    reward, before = moved.params['reward'], given['reward']
    layers = reward['bottleneck']
    kernels = (of['mean']['kernel'] for of in (layers, before['bottleneck']))
    self.assertGreater(np.abs(np.subtract(*kernels)).max(), 1e-3)
    np.testing.assert_array_equal(reward['trunk']['kept'], np.ones(3))
    expected = self.apply(
      layers['head'], self.apply(layers['mean'], self.standard)
    )
    found = self.apply(reward['head'], self.features.astype(float))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    self.assertEqual(int(moved.step), 1)


if __name__ == '__main__':
  absltest.main()
