"""A reward through a bottleneck: its loss, and the head that it leaves."""

import functools

import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.experiment.models import roles
from rlhf_jax.learners.reward import variational
from rlhf_jax.methods import inform
from rlhf_jax.models import PARTITION_RULES, TransformerConfig
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from tests import toy

KEY = jax.random.key(3)
WEIGHT = np.float32([1.0, 0.0, 2.0, 0.5])
MODEL = TransformerConfig(
  vocab_size=toy.VOCABULARY, layers=1, width=8, heads=2, kv_heads=1,
  head_width=4, mlp_width=16,
)  # fmt: skip


def log_sigmoid(x):
  return -np.log1p(np.exp(-x))


def words(batch):
  """The toy reward's features [B, 2, V]: how often each token is there."""
  one_hot = np.eye(toy.VOCABULARY)[batch.tokens]
  return (one_hot * batch.attention_mask[..., None]).sum(axis=-2)


def drawn(latent=3):
  """Params of which nothing is 0."""
  config = variational.Config(latent=latent)
  params = variational.init(KEY, {}, models=toy.MODELS, config=config)
  leaves, tree = jax.tree.flatten(params)
  random = np.random.default_rng(0)
  return jax.tree.unflatten(
    tree, [random.normal(size=x.shape).astype(np.float32) for x in leaves]
  )


def by_definition(params, batch, averaged=False):
  """Scores [B, 2] of the noise of KEY, and divergences [B, 2], in float64."""
  layers = jax.tree.map(lambda x: np.asarray(x, float), params['bottleneck'])

  def apply(name, x):
    return x @ layers[name]['kernel'] + layers[name]['bias']

  means = apply('mean', words(batch))
  log_s2 = 8.0 * np.tanh(apply('deviation', words(batch)) / 8.0)
  noise = np.asarray(jax.random.normal(KEY, means.shape), float)
  scores = apply('head', means + np.exp(log_s2 / 2) * noise)[..., 0]
  if averaged:
    means, log_s2 = (x.mean(-1, keepdims=True) for x in (means, log_s2))
  divergences = 0.5 * (means**2 + np.exp(log_s2) - 1.0 - log_s2).sum(-1)
  return scores, divergences


class LossTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.batch = toy.comparisons(4, seed=2).replace(weight=WEIGHT)

  @parameterized.parameters(
    (inform.Config(steps=1, latent=3), 0.1, False),
    (inform.released(steps=1, latent=3), 0.5, True),
  )
  def test_a_comparison_of_noisy_rewards_and_what_latents_cost(
    self, config, coef, averaged
  ):
    params = drawn()
    terms, _ = variational.loss(
      params, {}, self.batch, KEY, models=toy.MODELS, config=config
    )
    scores, divergences = by_definition(params, self.batch, averaged)
    expected = -log_sigmoid(scores[:, 0] - scores[:, 1])
    np.testing.assert_allclose(
      terms['preference'][1].value,
      np.average(expected, weights=WEIGHT),
      rtol=1e-4,
    )
    found, cost = terms['divergence']
    self.assertEqual(found, coef)
    np.testing.assert_allclose(
      cost.value, np.average(divergences.sum(-1), weights=WEIGHT), rtol=1e-4
    )

  def test_parts_of_a_batch_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'micro_batches is 2;.*leave'):
      variational.Config(micro_batches=2)


class HeadTest(parameterized.TestCase):
  def read(self, params, x):
    """k · h + c of the reward model's head."""
    head = jax.tree.map(np.asarray, params['reward']['head'])
    return (x @ head['kernel'].astype(float) + head['bias'])[..., 0]

  def g_of_means(self, params, x):
    for name in ('mean', 'head'):
      layer = params['bottleneck'][name]
      x = x @ np.asarray(layer['kernel'], float) + np.asarray(layer['bias'])
    return x[..., 0]

  def test_from_the_start_it_is_the_reward_of_the_means(self):
    config = variational.Config(latent=64)
    params = variational.init(KEY, {}, models=toy.MODELS, config=config)
    x = np.random.default_rng(1).normal(size=(2000, toy.VOCABULARY))
    found = self.read(params, x)
    np.testing.assert_allclose(found, self.g_of_means(params, x), atol=1e-5)
    self.assertBetween(found.std(), 0.05, 0.2)

  def test_posteriors_start_as_wide_as_what_they_are_compared_with(self):
    config = variational.Config(latent=64)
    params = variational.init(KEY, {}, models=toy.MODELS, config=config)
    _, metrics = variational.loss(
      params, {}, toy.comparisons(4), KEY, models=toy.MODELS, config=config
    )
    self.assertEqual(float(metrics['sigma'].value), 1.0)

  def test_what_it_learns_it_knows_without_noise(self):
    """Chosen responses have the word 1 more often, and nothing else is so."""
    lists = [((1, 1, 2), (0, 1, 2)), ((0, 1, 2), (0, 0, 2)), ((1, 2), (0, 2))]
    batch = toy.compared((0, 1, 0), lists)
    optimizer = optax.adam(0.05)
    config = inform.Config(steps=60, latent=4, divergence_coef=1e-3)
    params = variational.init(KEY, {}, models=toy.MODELS, config=config)
    state = training.create(params, optimizer)
    for step in range(config.steps):
      state, _ = jitted(inform.update)(
        state, {}, batch, jax.random.fold_in(KEY, step),
        models=toy.MODELS, optimizer=optimizer, config=config,
      )  # fmt: skip
    scores = self.read(state.params, words(batch))
    self.assertGreater((scores[:, 0] - scores[:, 1]).min(), 1.0)
    np.testing.assert_allclose(
      scores, self.g_of_means(state.params, words(batch)), rtol=1e-4, atol=1e-4
    )
    found = variational.latents(
      state.params, batch, models=toy.MODELS, config=config
    )
    layer = jax.tree.map(np.asarray, state.params['bottleneck']['mean'])
    means = words(batch) @ layer['kernel'] + layer['bias']
    np.testing.assert_allclose(found, means, rtol=1e-4, atol=1e-4)

  def test_every_parameter_has_a_place_on_a_mesh(self):
    models, config = roles(MODEL), variational.Config(latent=8)
    init = functools.partial(variational.init, models=models, config=config)
    shapes = jax.eval_shape(init, KEY, {})
    mesh = sharding.make_mesh({'fsdp': 8})
    placed = sharding.shardings(shapes, PARTITION_RULES, mesh)
    self.assertEqual(jax.tree.structure(placed), jax.tree.structure(shapes))
    plain = jax.eval_shape(models.reward.init, KEY)
    self.assertEqual(
      jax.tree.map(lambda x: x.shape, shapes['reward']),
      jax.tree.map(lambda x: x.shape, plain),
    )


if __name__ == '__main__':
  absltest.main()
