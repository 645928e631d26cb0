"""A reward model beside two views of prompts: what each term does and where."""

import dataclasses
import functools
import math
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized
from flax import traverse_util

from rlhf_jax import sharding
from rlhf_jax.experiment.models import roles
from rlhf_jax.learners import reward
from rlhf_jax.learners.reward import multi_view, view_metrics
from rlhf_jax.losses import multi_view as losses
from rlhf_jax.methods import rlp
from rlhf_jax.models import (
  PARTITION_RULES,
  LoRA,
  TransformerConfig,
  lora,
)
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Comparisons, Samples, WithExtra
from tests import toy

MODEL = TransformerConfig(
  vocab_size=16, layers=1, width=8, heads=2, kv_heads=1, head_width=4,
  mlp_width=16,
)  # fmt: skip
MODELS = roles(MODEL)
SIZES = {'latent': 3, 'hidden': 8, 'critic_hidden': 8}
# Deviations that start about 0 depend on the features from the start.
CONFIG = multi_view.Config(
  representation_coef=0.5, skl_coef=0.3, deviation_bias=None, **SIZES
)
WITHOUT = dataclasses.replace(CONFIG, representation_coef=0.0)
PAIRS, PROMPTS, DRAWN, P, T = 8, 8, 4, 3, 8
KEY = jax.random.key(5)
TWO_VIEWS = jax.jit(functools.partial(multi_view.two_views, models=MODELS))
TOY = WithExtra(batch=toy.comparisons(4), extra_data=toy.samples(6))


def ragged(random, *leading):
  tokens = random.integers(0, MODEL.vocab_size, (*leading, T), dtype=np.int32)
  lengths = random.integers(1, T - P + 1, leading)
  columns = np.arange(T)
  attention = columns < P + lengths[..., None]
  return tokens, attention, attention & (columns >= P)


def joined(seed=0):
  """Pairs with weights, and samples of prompts of which two are the same.

  All samples of the last prompt say the same, so it does not count.
  """
  random = np.random.default_rng(seed)
  pairs = Comparisons(
    *ragged(random, PAIRS, 2),
    candidate_mask=np.ones((PAIRS, 2), bool),
    margins=np.zeros(PAIRS, np.float32),
    weight=np.linspace(0.5, 1.5, PAIRS, dtype=np.float32),
  )
  tokens, attention, response = ragged(random, PROMPTS, DRAWN)
  tokens[..., :P] = tokens[:, :1, :P]
  tokens[1, :, :P] = tokens[0, :, :P]
  for array in (tokens, attention, response):
    array[-1] = array[-1, :1]
  samples = Samples(
    tokens, attention, response, np.ones((PROMPTS, DRAWN), bool)
  )
  return WithExtra(batch=pairs, extra_data=samples)


def all_equal(batch):
  """Every prompt's samples say the same, but the padding."""
  first = jax.tree.map(
    lambda x: np.broadcast_to(x[:, :1], x.shape), batch.extra_data
  )
  junk = np.arange(first.tokens.size).reshape(first.tokens.shape) % 16
  tokens = np.where(first.attention_mask, first.tokens, junk).astype(np.int32)
  return batch.replace(extra_data=first.replace(tokens=tokens))


def started(models, config=CONFIG):
  """Parameters whose critic is not zero any more."""
  made = multi_view.init(jax.random.key(0), {}, models=models, config=config)
  last = made['bottleneck']['critic']['last']
  last['kernel'] = jax.random.normal(jax.random.key(1), last['kernel'].shape)
  return made


@functools.cache
def params():
  return started(MODELS)


def evaluate(values, batch, *, models, config):
  """Gradients and metrics of the learner, weighed as in training."""
  gradient = training.gradient(multi_view.loss)
  grads, metrics = gradient(
    values, {}, batch, KEY, models=models, config=config
  )
  return grads, {name: mean.value for name, mean in metrics.items()}


def alone(values, batch, *, models, config):
  """The same of the learner of comparisons."""
  gradient = training.gradient(reward.loss)
  grads, metrics = gradient(
    values, {}, batch, KEY, models=models, config=config
  )
  return grads, {name: mean.value for name, mean in metrics.items()}


def slope(config=CONFIG, batch=None):
  """Of a real transformer; one program for all weights."""
  return jitted(evaluate)(
    params(), batch or joined(), models=MODELS, config=config
  )


@functools.cache
def usual():
  return slope()


@functools.cache
def without():
  return slope(WITHOUT)


def size(tree):
  return float(optax.tree.norm(tree))


class AdaptersTest(absltest.TestCase):
  def test_adapters_descend_as_their_maps_would(self):
    # B is 0, so that A stands still and B has scale Aᵀ times the gradient of W.
    given = {
      path: leaf
      for path, leaf in traverse_util.flatten_dict(params()).items()
      if path[:2] == ('reward', 'trunk')
    }
    adapted = lora.add(LoRA(rank=4), jax.random.key(2), params(), among=given)
    trained, base = lora.split(adapted, given)

    def gradient(values, frozen, batch, *, models, config):
      found = training.gradient(multi_view.loss)
      return found(values, frozen, batch, KEY, models=models, config=config)

    grads, _ = jitted(gradient)(
      trained, {'base': base}, joined(), models=MODELS, config=CONFIG
    )
    whole, _ = usual()
    for found, expected in (
      (grads['bottleneck'], whole['bottleneck']),
      (grads['reward']['head'], whole['reward']['head']),
    ):
      chex.assert_trees_all_close(found, expected, atol=1e-6)
    layers = grads['reward']['trunk']['layers']
    own = adapted['reward']['trunk']['layers']['mlp']['down_lora']
    of_map = whole['reward']['trunk']['layers']['mlp']['down']
    np.testing.assert_array_equal(layers['mlp']['down_lora']['a'], 0.0)
    np.testing.assert_allclose(
      layers['mlp']['down_lora']['b'],
      8.0 * np.einsum('lfr,lfd->lrd', own['a'], of_map),
      atol=1e-6,
    )
    self.assertGreater(size(layers), 0.0)


class GradientTest(absltest.TestCase):
  def test_without_its_weight_it_is_bradley_terry(self):
    # Two programs, whose sums XLA may order otherwise; the next test holds
    # that there is no other difference.
    expected = jitted(alone)(
      {'reward': params()['reward']},
      joined().batch,
      models=MODELS,
      config=reward.Config(),
    )
    (grads, metrics), (own_grads, own_metrics) = without(), expected
    chex.assert_trees_all_close(
      grads['reward'], own_grads['reward'], rtol=1e-5, atol=1e-8
    )
    self.assertEqual(size(grads['bottleneck']), 0.0)
    for name, value in own_metrics.items():
      chex.assert_trees_all_close(metrics[name], value, rtol=1e-6)
    # The weight is what took the rest away.
    self.assertGreater(size(own_grads), 1e-3)
    added = jax.tree.map(np.subtract, usual()[0]['reward'], own_grads['reward'])
    self.assertGreater(size(added), 1e-3)

  def test_without_its_weight_it_is_so_to_the_bit_without_jit(self):
    def total(values, loss, batch, config):
      terms, _ = loss(values, {}, batch, KEY, models=toy.MODELS, config=config)
      return training.objective(terms)

    values = started(toy.MODELS)
    found = jax.grad(total)(values, multi_view.loss, TOY, WITHOUT)
    expected = jax.grad(total)(
      {'reward': values['reward']}, reward.loss, TOY.batch, reward.Config()
    )
    chex.assert_trees_all_equal(found['reward'], expected['reward'])
    self.assertEqual(size(found['bottleneck']), 0.0)
    self.assertGreater(size(expected), 1e-3)

  def test_reaches_trunk_encoders_and_critic_and_not_the_head(self):
    added = jax.tree.map(np.subtract, usual()[0], without()[0])
    self.assertEqual(size(added['reward']['head']), 0.0)
    for name, layer in added['reward']['trunk'].items():
      self.assertGreater(size(layer), 1e-6, name)
    for name, layers in added['bottleneck'].items():
      for place, layer in layers.items():
        self.assertGreater(size(layer), 1e-6, f'{name} {place}')

  def test_is_linear_in_its_weight(self):
    whole, _ = slope(dataclasses.replace(CONFIG, representation_coef=1.0))
    expected = jax.tree.map(lambda a, b: 0.5 * (a + b), without()[0], whole)
    chex.assert_trees_all_close(usual()[0], expected, atol=1e-6)

  def test_is_nothing_where_all_samples_are_equal(self):
    grads, metrics = slope(batch=all_equal(joined()))
    chex.assert_trees_all_equal(grads['reward'], without()[0]['reward'])
    self.assertEqual(size(grads['bottleneck']), 0.0)
    self.assertEqual(metrics['loss/representation'], 0.0)
    self.assertEqual(metrics['prompts_used'], 0.0)
    chex.assert_tree_all_finite(metrics)

  def test_padding_may_hold_anything(self):
    batch = joined()

    def junk(part):
      return part.replace(
        tokens=np.where(part.attention_mask, part.tokens, 15 - part.tokens)
      )

    dirty = WithExtra(
      batch=junk(batch.batch), extra_data=junk(batch.extra_data)
    )
    chex.assert_trees_all_close(slope(batch=dirty), usual(), atol=1e-5)


class Definition:
  """The views of a batch and what is computed of them, by numpy."""

  def __init__(self, batch, values, config):
    # The same draws; all that follows is spelt out.
    view_key, latent_key = jax.random.split(KEY)
    features, _, self.mask = TWO_VIEWS(values, batch.extra_data, view_key)
    self.values = jax.tree.map(np.float64, values['bottleneck'])
    self.features = np.float64(features)
    self.means = self.network('mean', self.features)
    raw = self.network('deviation', self.features)
    self.log_variances = 8.0 * np.tanh(raw / 8.0)
    noise = np.float64(jax.random.normal(latent_key, self.means.shape))
    latents = self.means + np.exp(0.5 * self.log_variances) * noise
    self.latents, self.config = latents, config
    prompts = [tuple(row[0, :P]) for row in batch.extra_data.tokens]
    self.apart = [
      (i, j)
      for i in range(PROMPTS)
      for j in range(PROMPTS)
      if prompts[i] != prompts[j] and self.mask[i] and self.mask[j]
    ]
    self.alike = [(i, i) for i in range(PROMPTS) if self.mask[i]]

  def network(self, name, x):
    for place in ('first', 'second', 'last'):
      layer = self.values[name][place]
      x = x @ layer['kernel'] + layer['bias']
      x = x if place == 'last' else np.maximum(x, 0.0)
    return x

  def critic(self, a, b):
    return self.network('critic', np.concatenate([a, b]))[0]

  def score(self, i, j):
    a, b = self.latents[i, 0], self.latents[j, 1]
    return 0.5 * (self.critic(a, b) + self.critic(b, a))

  def jensen_shannon(self):
    joint = [-np.logaddexp(0.0, -self.score(*pair)) for pair in self.alike]
    product = [np.logaddexp(0.0, self.score(*pair)) for pair in self.apart]
    return np.mean(joint) - np.mean(product)

  def divergence(self):
    m, v = self.means[self.mask], np.exp(self.log_variances[self.mask])
    both = [
      0.5 * (np.log(v[:, b] / v[:, a]) + (v[:, a] + (m[:, a] - m[:, b]) ** 2)
      / v[:, b] - 1.0)
      for a, b in ((0, 1), (1, 0))
    ]  # fmt: skip
    return np.mean(np.sum(0.5 * (both[0] + both[1]), axis=-1))


class LossTest(absltest.TestCase):
  def test_is_the_sum_of_its_parts_by_definition(self):
    batch = joined()
    _, metrics = usual()
    scores = np.float64(
      jax.jit(MODELS.reward.scores)(
        params()['reward'],
        batch.batch.tokens.reshape(-1, T),
        batch.batch.attention_mask.reshape(-1, T),
      )
    ).reshape(PAIRS, 2)
    margins = scores[:, 0] - scores[:, 1]
    weight = np.float64(batch.batch.weight)
    bradley_terry = np.sum(weight * np.logaddexp(0, -margins)) / weight.sum()
    known = Definition(batch, params(), CONFIG)
    self.assertEqual(known.mask.tolist(), [True] * 7 + [False])
    self.assertLen(known.apart, 7 * 6 - 2)
    beside = -known.jensen_shannon() + 0.3 * known.divergence()
    measured = {
      'loss/preference': bradley_terry,
      'loss/representation': beside,
      'jensen_shannon': known.jensen_shannon(),
      'skl': known.divergence(),
      'sigma': np.exp(0.5 * known.log_variances[known.mask]).mean(),
      'active_latents': np.sum(known.means[known.mask].mean(1).var(0) > 0.01),
      'prompts_used': 7 / 8,
      'critic_accuracy': 0.5
      * (
        np.mean([known.score(*pair) > 0 for pair in known.alike])
        + np.mean([known.score(*pair) < 0 for pair in known.apart])
      ),
      'information': np.mean([1 + known.score(*p) for p in known.alike])
      - np.mean([np.exp(known.score(*p)) for p in known.apart]),
      'skl_coef': 0.3,
    }
    for name, value in measured.items():
      np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)

  def test_what_is_minimised_is_their_sum(self):
    terms, _ = jitted(multi_view.loss)(
      started(toy.MODELS), {}, TOY, KEY, models=toy.MODELS, config=CONFIG
    )
    value = {name: float(mean.value) for name, (_, mean) in terms.items()}
    self.assertEqual(set(value), {'preference', 'centering', 'representation'})
    self.assertNotAlmostEqual(value['representation'], 0.0)
    np.testing.assert_allclose(
      training.objective(terms),
      value['preference'] + 0.5 * value['representation'],
      rtol=1e-6,
    )

  def test_two_views_are_of_one_prompt_and_differ(self):
    # The features of a view are those of the response that was drawn.
    batch = joined().extra_data
    read = jax.jit(MODELS.reward.features)
    every = read(
      params()['reward'],
      batch.tokens.reshape(-1, T),
      batch.attention_mask.reshape(-1, T),
    ).reshape(PROMPTS, DRAWN, -1)
    drawn = set()
    for seed in range(6):
      features, ids, mask = TWO_VIEWS(params(), batch, jax.random.key(seed))
      self.assertEqual(ids.tolist(), [0, 0, 2, 3, 4, 5, 6, 7])
      self.assertEqual(mask.tolist(), [True] * 7 + [False])
      for i in range(PROMPTS - 1):
        gaps = np.abs(features[i][:, None] - every[i][None]).max(-1)
        places = gaps.argmin(-1)
        np.testing.assert_allclose(gaps.min(-1), 0.0, atol=1e-5)
        self.assertNotEqual(*places)
        drawn.add((i, *places.tolist()))
    # Afresh at every visit: 7 prompts, 6 visits, 12 pairs of each prompt.
    self.assertGreater(len(drawn), 20)


# Probes of zeros, added to the features, show the gradient that arrives there.
PROBED = toy.MODELS._replace(
  reward=toy.SCALAR._replace(
    features=lambda p, t, m: toy.SCALAR.features(p, t, m) + p['views'],
    scores=lambda p, t, m: toy.SCALAR.head(
      p, toy.SCALAR.features(p, t, m) + p['pairs']
    ),
  )
)


def probed(values=None, **changes):
  values = started(toy.MODELS) if values is None else values
  probes = {
    'views': jnp.zeros((2 * len(TOY.extra_data.tokens), toy.VOCABULARY)),
    'pairs': jnp.zeros((2 * len(TOY.batch.tokens), toy.VOCABULARY)),
  }
  return jitted(evaluate)(
    values | {'reward': values['reward'] | probes},
    TOY,
    models=PROBED,
    config=dataclasses.replace(CONFIG, **changes),
  )


class AblationTest(absltest.TestCase):
  """Objectives in the place of L_M change that one term and no other."""

  OBJECTIVES = {
    'bottleneck': losses.information_bottleneck,
    'mvi': losses.multi_view_information,
    'info_max': losses.info_max,
    'contrastive': functools.partial(losses.contrastive, temperature=0.2),
  }

  def test_others_are_left_as_they_are(self):
    found, metrics = {}, {}
    for name, objective in self.OBJECTIVES.items():
      config = dataclasses.replace(CONFIG, representation=objective)
      terms, measured = jitted(multi_view.loss)(
        started(toy.MODELS, config), {}, TOY, KEY,
        models=toy.MODELS, config=config,
      )  # fmt: skip
      found[name] = {
        term: (float(coefficient), float(mean.value))
        for term, (coefficient, mean) in terms.items()
      }
      metrics[name] = {k: float(m.value) for k, m in measured.items()}
    values = {
      name: terms.pop('representation') for name, terms in found.items()
    }
    for name in self.OBJECTIVES:
      self.assertEqual(found[name], found['bottleneck'], name)
      self.assertEqual(values[name][0], 0.5)
      for kept in ('accuracy', 'margin', 'score', 'comparisons_gradient'):
        self.assertEqual(
          metrics[name][kept], metrics['bottleneck'][kept], f'{name} {kept}'
        )
    self.assertLen(set(values.values()), len(values))
    # MVI is L_M without the divergence.
    np.testing.assert_allclose(
      values['bottleneck'][1],
      values['mvi'][1] + 0.3 * metrics['bottleneck']['skl'],
      rtol=1e-5,
    )
    self.assertNotIn('jensen_shannon', metrics['contrastive'])

  def test_info_max_reaches_the_trunk_through_z_alone(self):
    # With z held (the encoder's last layers are 0) nothing is left, although
    # the critic reads the features as well.
    config = dataclasses.replace(CONFIG, representation=losses.info_max)
    values = started(toy.MODELS, config)
    kernel = values['bottleneck']['critic']['first']['kernel']
    self.assertEqual(kernel.shape[0], CONFIG.latent + toy.VOCABULARY)
    grads, _ = probed(values, representation=losses.info_max)
    self.assertGreater(size(grads['reward']['views']), 1e-4)
    for name in ('mean', 'deviation'):
      last = values['bottleneck'][name]['last']
      values['bottleneck'][name]['last'] = jax.tree.map(jnp.zeros_like, last)
    held, _ = probed(values, representation=losses.info_max)
    self.assertEqual(size(held['reward']['views']), 0.0)
    self.assertGreater(size(held['bottleneck']['critic']), 1e-4)


class BalanceTest(parameterized.TestCase):
  FREE = 1e9  # A multiple that is never reached.

  def test_both_norms_are_those_that_arrive(self):
    grads, metrics = probed(most_gradient=self.FREE)
    for name, probe in (('comparisons', 'pairs'), ('representation', 'views')):
      self.assertGreater(size(grads['reward'][probe]), 1e-4)
      np.testing.assert_allclose(
        metrics[f'{name}_gradient'], size(grads['reward'][probe]), rtol=1e-5
      )

  @parameterized.parameters(0.01, 0.1, 1e6)
  def test_what_arrives_is_capped(self, most):
    free, metrics = probed(most_gradient=self.FREE)
    own, sent = size(free['reward']['pairs']), size(free['reward']['views'])
    self.assertGreater(sent, 0.1 * own)  # Or there were nothing to cap.
    capped, capped_metrics = probed(most_gradient=most)
    np.testing.assert_allclose(
      size(capped['reward']['views']), min(sent, most * own), rtol=1e-4
    )
    # Its direction is kept, and so is all that does not go into the trunk.
    share = min(1.0, most * own / sent)
    np.testing.assert_allclose(
      capped['reward']['views'], share * free['reward']['views'], atol=1e-6
    )
    for name in ('pairs', 'head'):
      chex.assert_trees_all_close(
        capped['reward'][name], free['reward'][name], atol=1e-6
      )
    chex.assert_trees_all_close(
      capped['bottleneck'], free['bottleneck'], atol=1e-6
    )
    chex.assert_trees_all_close(capped_metrics, metrics, atol=1e-6)

  def test_a_scaled_gradient_leaves_the_value(self):
    x = jnp.array([1.5, -2.0])
    value, pull = jax.vjp(lambda x: multi_view.scale_gradient(x, 0.25), x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(pull(jnp.ones(2))[0], [0.25, 0.25])


class ScheduleTest(absltest.TestCase):
  def coefs(self, config, steps):
    """What β is at these steps."""
    values = multi_view.init(
      jax.random.key(0), {}, models=toy.MODELS, config=config
    )
    optimizer, found = optax.sgd(0.0), []
    for step in steps:
      state = training.create(values, optimizer).replace(step=jnp.int32(step))
      state, metrics = jitted(multi_view.update)(
        state, {}, TOY, KEY,
        models=toy.MODELS, optimizer=optimizer, config=config,
      )  # fmt: skip
      self.assertEqual(state.step, step + 1)
      beta, skl = metrics['skl_coef'].value, metrics['skl'].value
      # It is in the loss, and not only told.
      np.testing.assert_allclose(
        metrics['loss/representation'].value,
        beta * skl - metrics['jensen_shannon'].value,
        rtol=1e-5,
      )
      found.append(float(beta))
    return found

  def test_beta_is_of_the_share_of_steps_done(self):
    # A thousandth until 5 % of the steps, then up on the log scale to 16 %.
    config = rlp.stable(steps=200, skl_coef=7.0, **SIZES)
    np.testing.assert_allclose(
      self.coefs(config, [0, 10, 21, 32, 199]),
      [7e-3, 7e-3, 7 * 10**-1.5, 7.0, 7.0],
      rtol=1e-4,
    )


class CollapseTest(parameterized.TestCase):
  # −2 log 2 is −1.38629.
  @parameterized.parameters(
    (-1.3863, 0.3, True),
    (-1.3863, 1.0, True),
    (-1.3863, 0.29, False),
    (-1.3863, 0.0, False),
    (-1.378, 0.5, True),
    (-1.395, 0.5, True),
    (-1.375, 0.5, False),
    (-1.397, 0.5, False),
    (-0.4, 0.9, False),
    (math.nan, 0.9, False),
    (math.inf, 0.9, False),
  )
  def test_speaks_late_and_near_a_critic_of_zeros(self, value, progress, told):
    said = view_metrics.collapse({'jensen_shannon': value}, progress)
    self.assertEqual(said is not None, told)
    if told:
      self.assertIn(f'{value:.3f}', said)
      self.assertNotIn('\n', said)

  def test_bounds_may_be_others(self):
    row = {'jensen_shannon': -1.2}
    self.assertIsNone(view_metrics.collapse(row, 0.5))
    self.assertIsNotNone(view_metrics.collapse(row, 0.5, within=0.2))
    self.assertIsNone(view_metrics.collapse(row, 0.5, within=0.2, after=0.6))

  def test_without_a_critic_there_is_nothing_to_say(self):
    self.assertIsNone(view_metrics.collapse({'loss/preference': 0.6}, 1.0))

  def test_a_new_critic_is_one_of_zeros(self):
    made = multi_view.init(
      jax.random.key(0), {}, models=toy.MODELS, config=CONFIG
    )
    _, metrics = jitted(multi_view.loss)(
      made, {}, TOY, KEY, models=toy.MODELS, config=CONFIG
    )
    metrics = {name: mean.value for name, mean in metrics.items()}
    np.testing.assert_allclose(
      metrics['jensen_shannon'], -2 * np.log(2), rtol=1e-6
    )
    row = {'jensen_shannon': float(metrics['jensen_shannon'])}
    self.assertIsNotNone(view_metrics.collapse(row, 0.3))


class InitTest(absltest.TestCase):
  def test_the_trunk_is_the_policy_s_and_the_head_is_new(self):
    policy = MODELS.policy.init(jax.random.key(9))
    made = multi_view.init(
      jax.random.key(0), {'policy': policy}, models=MODELS, config=CONFIG
    )
    self.assertEqual(set(made), {'reward', 'bottleneck'})
    chex.assert_trees_all_equal(
      made['reward']['trunk'], MODELS.reward.trunk(policy)
    )
    self.assertEqual(set(made['bottleneck']), {'mean', 'deviation', 'critic'})


@pytest.mark.long
class ShardedTest(absltest.TestCase):
  def test_eight_devices_say_what_one_says(self):
    mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})
    with jax.set_mesh(mesh):
      placed = sharding.place(params(), PARTITION_RULES, mesh)
      leaves = jax.tree.leaves(placed['reward'])
      self.assertFalse(all(x.sharding.is_fully_replicated for x in leaves))
      batch = sharding.place_batch(joined(), mesh)
      self.assertFalse(batch.extra_data.tokens.sharding.is_fully_replicated)
      actual = jitted(evaluate)(placed, batch, models=MODELS, config=CONFIG)
    chex.assert_trees_all_close(
      jax.device_get(actual), jax.device_get(usual()), atol=1e-5
    )


class TableTest(absltest.TestCase):
  """Every setting, away from its default, reaches what it says."""

  def test_sizes_and_start_of_the_networks(self):
    config = multi_view.Config(
      latent=3, hidden=5, critic_hidden=7, deviation_bias=0.25
    )
    made = multi_view.init(
      jax.random.key(0), {}, models=toy.MODELS, config=config
    )['bottleneck']
    shapes = jax.tree.map(jnp.shape, made)
    places = ('first', 'second', 'last')
    of = {
      name: [layers[place]['kernel'] for place in places]
      for name, layers in shapes.items()
    }
    encoder = [(toy.VOCABULARY, 5), (5, 5), (5, 3)]
    self.assertEqual(of['mean'], encoder)
    self.assertEqual(of['deviation'], encoder)
    self.assertEqual(of['critic'], [(2 * 3, 7), (7, 7), (7, 1)])
    np.testing.assert_array_equal(made['deviation']['last']['bias'], 0.25)
    # Left to chance, and as wide as the trunk, where nothing is said.
    free = dataclasses.replace(config, deviation_bias=None, hidden=None)
    made = multi_view.init(
      jax.random.key(0), {}, models=toy.MODELS, config=free
    )['bottleneck']
    self.assertGreater(size(made['deviation']['last']['kernel']), 0.1)
    self.assertEqual(made['mean']['first']['kernel'].shape, (4, 4))

  def test_pairs_deviations_and_coefficient_are_the_config_s(self):
    config = dataclasses.replace(
      CONFIG,
      skl_coef=0.7,
      log_variance=lambda raw: jnp.full_like(raw, -1.5),
      negatives=lambda ids, mask: (ids[:, None] < ids[None]) & mask[:, None],
    )
    features = jnp.arange(24.0).reshape(3, 2, 4) / 24.0
    ids, mask = jnp.array([0, 1, 1]), jnp.array([True, True, False])
    arrays = multi_view.arrays_for(
      started(toy.MODELS)['bottleneck'],
      features,
      ids,
      mask,
      KEY,
      models=toy.MODELS,
      config=config,
    )
    np.testing.assert_array_equal(
      arrays['log_variances'], np.full((3, 2, 3), -1.5)
    )
    np.testing.assert_array_equal(
      arrays['negatives'], [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    )
    np.testing.assert_array_equal(arrays['positives'], np.diag([1, 1, 0]))
    np.testing.assert_allclose(arrays['skl_coef'], 0.7)
    np.testing.assert_array_equal(arrays['mask'], mask)

  def test_comparison_and_weights_are_the_config_s_and_no_key_twice(self):
    def objective(margins, rejected_scores, chosen_scores):
      return 0.3 * chosen_scores**2 - 0.2 * rejected_scores + margins

    config = dataclasses.replace(
      CONFIG,
      objective=objective,
      centering=0.4,
      representation_coef=0.9,
      representation=lambda means: jnp.mean(means),
    )
    two_views, arrays_for, keys = (
      multi_view.two_views,
      multi_view.arrays_for,
      {},
    )

    def noting(name, function, place):
      def call(*given, **named):
        jax.debug.callback(
          lambda data: keys.setdefault(name, set()).add(tuple(data.tolist())),
          jax.random.key_data(given[place]),
        )
        return function(*given, **named)

      return call

    values = started(toy.MODELS)
    with (
      mock.patch.object(multi_view, 'two_views', noting('views', two_views, 2)),
      mock.patch.object(
        multi_view, 'arrays_for', noting('latents', arrays_for, 4)
      ),
      mock.patch.object(view_metrics, 'of', lambda *_: {}),
    ):
      terms, _ = jax.jit(
        functools.partial(multi_view.loss, models=toy.MODELS, config=config)
      )(values, {}, TOY, KEY)
    jax.effects_barrier()
    # The gradient and the value read the same draw.
    self.assertLen(keys['latents'], 1)
    own = tuple(np.asarray(jax.random.key_data(KEY)).tolist())
    self.assertLen(keys['views'] | keys['latents'] | {own}, 3)
    kernel = np.float64(values['reward']['head']['kernel'])[:, 0]
    scores = np.array(
      [
        [kernel[row[mask]].sum() for row, mask in zip(*pair, strict=True)]
        for pair in zip(TOY.batch.tokens, TOY.batch.attention_mask, strict=True)
      ]
    )
    chosen, rejected = scores.T
    expected = objective(TOY.batch.margins, rejected, chosen).mean()
    coefficient, mean = terms['preference']
    np.testing.assert_allclose(coefficient * mean.value, expected, rtol=1e-4)
    coefficient, mean = terms['centering']
    np.testing.assert_allclose(coefficient, 0.4)
    np.testing.assert_allclose(
      mean.value, (scores.sum(1) ** 2).mean(), rtol=1e-4
    )
    np.testing.assert_allclose(terms['representation'][0], 0.9)

  def test_reward_and_networks_start_from_keys_of_their_own(self):
    made = []

    def noting(init):
      def call(key, **named):
        made.append(tuple(np.asarray(jax.random.key_data(key)).tolist()))
        return init(key, **named)

      return call

    models = toy.MODELS._replace(
      reward=toy.SCALAR._replace(init=noting(toy.SCALAR.init)),
      bottleneck=toy.MODELS.bottleneck._replace(
        init=noting(toy.MODELS.bottleneck.init)
      ),
    )
    multi_view.init(KEY, {}, models=models, config=CONFIG)
    own = tuple(np.asarray(jax.random.key_data(KEY)).tolist())
    self.assertLen({*made, own}, 3)

  def test_every_setting_is_here(self):
    # Here, in the tests of gradients, ablations, balance or the schedule.
    known = {
      'objective', 'centering', 'micro_batches', 'representation',
      'representation_coef', 'skl_coef', 'schedule', 'negatives',
      'log_variance', 'latent', 'hidden', 'critic_hidden', 'deviation_bias',
      'most_gradient',
    }  # fmt: skip
    self.assertEqual(
      {f.name for f in dataclasses.fields(multi_view.Config)}, known
    )


if __name__ == '__main__':
  absltest.main()
