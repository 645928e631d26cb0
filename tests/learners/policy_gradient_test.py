"""Policy gradients on a policy whose responses can all be listed.

Every field of the learner's Config is held against `online_definitions`, alone
and with all others at once; so are all methods' rounds of sampling.
"""

import dataclasses
import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.generation import draws
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import importance, masking, rewards, token_masks
from rlhf_jax.learners import policy_gradient
from rlhf_jax.learners.policy_gradient import collecting
from rlhf_jax.losses import policy_gradient as objectives
from rlhf_jax.methods import dapo, grpo, ppo, remax, rloo
from rlhf_jax.training import optimizers
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean, flatten_candidates
from tests import toy
from tests.methods import online
from tests.methods import online_definitions as definitions

PROMPT = 1
BETA = 0.3


def expected_objective(table, reference, scores, beta):
  """E[score − β KL] by summing over every response."""
  total = 0.0
  for response, score in zip(toy.responses(), scores, strict=True):
    before, logp, reference_logp = PROMPT, 0.0, 0.0
    for token in response:
      logp += jax.nn.log_softmax(table[before])[token]
      reference_logp += jax.nn.log_softmax(reference[before])[token]
      before = token
    total += jnp.exp(logp) * (score - beta * (logp - reference_logp))
  return total


class GradientTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    keys = jax.random.split(jax.random.key(3), 3)
    self.policy = toy.POLICY.init(keys[0])
    self.reference = toy.POLICY.init(keys[1])
    self.critic = toy.SCALAR.init(keys[2])
    self.rollouts = toy.all_rollouts(PROMPT)
    self.scores = np.linspace(-1.0, 2.0, len(toy.responses())) ** 2
    table = np.asarray(self.policy['embedding'], np.float64)
    self.probabilities = np.array(
      [toy.probability(table, PROMPT, r) for r in toy.responses()]
    )

  def config(self, **changes):
    """Weights π(y), so that a batch of all responses is the expectation."""

    def expectation(losses, mask):
      sums = masking.masked_sum(losses, mask, axis=-1)
      return Mean(jnp.sum(sums * self.probabilities), jnp.float32(1.0))

    base = {
      'steps': 1,
      'whiten_advantages': False,
      'gae_lambda': 1.0,
      'unended_penalty': 0.0,
      'kl_coef': BETA,
      'reduction': expectation,
      'value_coef': 0.0,
    }
    return ppo.Config(**(base | changes))

  def test_the_responses_are_all_there(self):
    self.assertAlmostEqual(self.probabilities.sum(), 1.0, places=6)

  @parameterized.product(
    objective=(
      objectives.policy_gradient,
      functools.partial(objectives.clipped_surrogate, clip_epsilon=0.2),
    ),
    critic=(policy_gradient.no_critic, policy_gradient.separate_critic),
    kl_coef=(0.0, BETA),
  )
  def test_the_estimate_averages_to_the_gradient(
    self, objective, critic, kl_coef
  ):
    config = self.config(objective=objective, critic=critic, kl_coef=kl_coef)
    params = {'policy': self.policy, 'critic': self.critic}
    frozen = {'reference': self.reference}
    batch, _ = ppo.shape(
      params,
      frozen,
      self.rollouts,
      jnp.asarray(self.scores[None], jnp.float32),
      models=toy.MODELS,
      config=config,
    )
    batch = flatten(batch)
    slope = training.gradient(policy_gradient.loss)
    grads, metrics = slope(
      params, frozen, batch, jax.random.key(0), models=toy.MODELS, config=config
    )
    expected = jax.grad(expected_objective)(
      self.policy['embedding'],
      self.reference['embedding'],
      self.scores,
      kl_coef,
    )
    np.testing.assert_allclose(
      grads['policy']['embedding'], -expected, atol=2e-5
    )
    self.assertEqual(metrics['ratio'].value, 1.0)
    self.assertEqual(metrics['clip_fraction'].value, 0.0)

  def test_a_wrong_sign_would_be_seen(self):
    expected = jax.grad(expected_objective)(
      self.policy['embedding'], self.reference['embedding'], self.scores, BETA
    )
    self.assertGreater(jnp.max(jnp.abs(expected)), 0.1)

  def test_values_are_read_before_their_token(self):
    config = self.config(critic=policy_gradient.separate_critic)
    params = {'policy': self.policy, 'critic': self.critic}
    now = policy_gradient.evaluate(
      params,
      policy_gradient.flatten_rollouts(self.rollouts),
      models=toy.MODELS,
      config=config,
    )
    weights = np.asarray(self.critic['head']['kernel'])[:, 0]
    for row, response in enumerate(toy.responses()):
      before = [PROMPT, *response[:-1]]
      np.testing.assert_allclose(
        now.values[row, : len(response)], weights[before], rtol=1e-6
      )

  def test_a_shared_trunk_reads_the_policys_hidden_states(self):
    config = self.config(critic=policy_gradient.shared_trunk)
    params = policy_gradient.init(
      jax.random.key(0),
      {'policy': self.policy, 'critic': self.critic},
      models=toy.MODELS,
      config=config,
    )
    self.assertEqual(set(params['critic']), {'head'})
    now = policy_gradient.evaluate(
      params,
      policy_gradient.flatten_rollouts(self.rollouts),
      models=toy.MODELS,
      config=config,
    )
    table = np.asarray(self.policy['embedding'])
    kernel = np.asarray(self.critic['head']['kernel'])[:, 0]
    np.testing.assert_allclose(
      now.values[0, 0], table[PROMPT] @ kernel, rtol=1e-5
    )


def flatten(batch):
  rest = flatten_candidates(batch.replace(rollouts=None))
  flat = policy_gradient.flatten_rollouts(batch.rollouts)
  return rest.replace(rollouts=flat)


class UpdateTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    policy, critic = (
      toy.POLICY.init(jax.random.key(0)),
      toy.SCALAR.init(jax.random.key(1)),
    )
    self.params = {'policy': policy, 'critic': critic}
    self.frozen = {
      'reference': policy,
      'reward': toy.SCALAR.init(jax.random.key(2)),
    }
    self.config = ppo.Config(steps=1, samples=4, epochs=2, minibatches=2)

  def collect(self, config):
    return ppo.collect(
      toy.state(self.params),
      self.frozen,
      toy.prompts(8),
      jax.random.key(5),
      models=toy.MODELS,
      config=config,
    )

  def test_before_the_first_update_nothing_has_moved(self):
    batch, metrics = self.collect(self.config)
    self.assertEqual(metrics['kl'].value, 0.0)
    self.assertLess(metrics['sampler_gap'].value, 1e-5)
    _, measured = policy_gradient.loss(
      self.params,
      self.frozen,
      flatten(batch),
      jax.random.key(0),
      models=toy.MODELS,
      config=self.config,
    )
    self.assertEqual(measured['ratio'].value, 1.0)
    self.assertEqual(measured['update_kl'].value, 0.0)

  def terms(self, batch, **changes):
    """The loss's terms and metrics on a batch, before any step."""
    return policy_gradient.loss(
      self.params,
      self.frozen,
      flatten(batch),
      jax.random.key(0),
      models=toy.MODELS,
      config=dataclasses.replace(self.config, **changes),
    )

  @parameterized.parameters((2.0, 1.5), (1.2, 1.2))
  def test_a_correction_multiplies_the_policys_losses(self, high, weight):
    batch, _ = self.collect(self.config)
    # A sampler under which each token was 1.5 times less probable.
    rollouts = batch.rollouts.replace(
      truncated_logps=batch.logps - jnp.log(1.5)
    )
    # Whitened advantages would add up to 0 with any weights.
    batch = batch.replace(rollouts=rollouts, advantages=batch.returns)
    plain, _ = self.terms(batch)
    corrected, _ = self.terms(
      batch,
      correction=functools.partial(importance.truncated_weights, high=high),
    )
    np.testing.assert_allclose(
      corrected['policy'][1].total, weight * plain['policy'][1].total, rtol=1e-4
    )
    for name in ('entropy', 'value'):
      self.assertEqual(corrected[name][1].total, plain[name][1].total)

  def test_a_correction_may_not_name_what_is_trained(self):
    batch, _ = self.collect(self.config)
    with self.assertRaisesRegex(ValueError, 'not_stale, which reads old_logps'):
      self.terms(
        batch,
        correction=functools.partial(token_masks.not_stale, threshold=0.1),
      )

  def test_tokens_that_are_masked_teach_nothing_and_still_count(self):
    batch, _ = self.collect(self.config)
    _, mask = flatten(batch).rollouts.responses
    first = (jnp.arange(mask.shape[1]) == 0)[None]

    def only_first(logps, mask):
      return mask & first & (logps < 0.0)

    kept, _ = self.terms(batch, token_mask=only_first)
    plain, _ = self.terms(batch)
    losses = -flatten(batch).advantages  # At ratio 1.
    np.testing.assert_allclose(
      kept['policy'][1].total, jnp.sum(losses[:, 0]), rtol=1e-4
    )
    self.assertEqual(kept['policy'][1].weight, plain['policy'][1].weight)
    self.assertEqual(kept['entropy'][1].total, plain['entropy'][1].total)

  def test_values_that_nothing_would_read_are_refused(self):
    with self.assertRaisesRegex(
      ValueError, 'reference_coef is 0.3, and nothin'
    ):
      grpo.dr_grpo(steps=1, reference_coef=0.3)
    with self.assertRaisesRegex(
      ValueError, 'sampling has a temperature of its'
    ):
      ppo.Config(steps=1, sampling=Sampling(temperature=0.7))
    with self.assertRaisesRegex(
      ValueError, 'kl_coef is 0.1, and DAPO takes no'
    ):
      dapo.Config(steps=1, kl_coef=0.1)

  def test_a_round_is_cut_evenly(self):
    self.assertEqual(ppo.Config(steps=1, batch_size=3, samples=4).responses, 12)
    ppo.Config(steps=1, batch_size=3, samples=4, minibatches=4, micro_batches=3)
    for parts in ({'minibatches': 8}, {'minibatches': 4, 'micro_batches': 2}):
      with self.assertRaisesRegex(ValueError, 'divide the 12 responses'):
        ppo.Config(**({'steps': 1, 'batch_size': 3, 'samples': 4} | parts))

  def test_an_objective_is_handed_the_arrays_that_it_names(self):
    batch, _ = self.collect(self.config)
    _, mask = flatten(batch).rollouts.responses

    def named(mask, sampler_logps, entropies, reference_logps, advantages):
      del mask, entropies, advantages
      return sampler_logps - 2.0 * reference_logps

    terms, _ = self.terms(batch, objective=named, correction=None)
    rest = flatten(batch)
    expected = rest.rollouts.truncated_logps - 2.0 * rest.reference_logps
    np.testing.assert_allclose(
      terms['policy'][1].total, np.sum(expected, where=mask), rtol=1e-5
    )

  def test_the_clip_fraction_counts_what_has_no_slope(self):
    batch, _ = self.collect(self.config)
    # Every ratio is 2: clipped where the advantage is positive.
    batch = batch.replace(logps=batch.logps - jnp.log(2.0))
    _, metrics = self.terms(batch)
    _, mask = batch.rollouts.responses
    positive = np.asarray(batch.advantages)[np.asarray(mask)] > 0.0
    self.assertAlmostEqual(
      metrics['clip_fraction'].value, positive.mean(), places=6
    )
    self.assertBetween(positive.mean(), 0.1, 0.9)

  def test_the_score_lies_on_the_last_token(self):
    config = dataclasses.replace(
      self.config,
      critic=policy_gradient.no_critic,
      kl_coef=0.0,
      whiten_advantages=False,
      gae_lambda=1.0,
      unended_penalty=2.5,
    )
    batch, _ = self.collect(config)
    weights = np.asarray(self.frozen['reward']['head']['kernel'])[:, 0]
    tokens = np.asarray(batch.rollouts.tokens)
    attention = np.asarray(batch.rollouts.attention_mask)
    score = (weights[tokens] * attention).sum(axis=-1)
    score -= 2.5 * ~np.asarray(batch.rollouts.ended)
    self.assertFalse(np.asarray(batch.rollouts.ended).all())
    # Without discount or critic, what follows each token is the whole score.
    _, mask = batch.rollouts.responses
    np.testing.assert_allclose(
      batch.advantages, np.where(mask, score[..., None], 0.0), atol=1e-5
    )

  def test_an_adaptive_coefficient_moves_towards_its_target(self):
    control = functools.partial(
      rewards.adaptive_kl_coef, target=6.0, horizon=100.0
    )
    config = dataclasses.replace(self.config, kl_control=control)
    batch, _ = self.collect(config)
    optimizer = optax.sgd(0.0)
    state = training.create(self.params, optimizer, config.initial_extra())
    state, _ = policy_gradient.update(
      state,
      self.frozen,
      batch,
      jax.random.key(0),
      models=toy.MODELS,
      optimizer=optimizer,
      config=config,
    )
    # KL is 0, far below its target: e = −0.2; 32 responses of a horizon of 100.
    self.assertAlmostEqual(
      state.extra['kl_coef'], 0.02 * (1 - 0.2 * 32 / 100), places=7
    )

  def test_rounds_without_an_experiment_learn_at_the_adapted_coefficient(self):
    control = functools.partial(
      rewards.adaptive_kl_coef, target=0.5, horizon=100.0
    )
    config = dataclasses.replace(
      self.config, kl_coef=0.3, kl_control=control, unended_penalty=0.0
    )
    optimizer = config.make_optimizer()
    frozen = self.frozen | {'reference': toy.POLICY.init(jax.random.key(8))}
    state = training.create(self.params, optimizer, config.initial_extra())
    coefficient = 0.3
    for step in range(3):
      batch, metrics = ppo.collect(
        state,
        frozen,
        toy.prompts(8),
        jax.random.key(step),
        models=toy.MODELS,
        config=config,
      )
      score, kl = (metrics[name].value for name in ('score', 'kl'))
      np.testing.assert_allclose(metrics['kl_coef'].value, coefficient, 1e-6)
      np.testing.assert_allclose(
        metrics['reward'].value, score - coefficient * kl, rtol=1e-4
      )
      state, _ = ppo.update(
        state,
        frozen,
        batch,
        jax.random.key(9),
        models=toy.MODELS,
        optimizer=optimizer,
        config=config,
      )
      # Ziegler et al. 2019, §2.2: 32 responses of a horizon of 100.
      error = np.clip(kl / 0.5 - 1.0, -0.2, 0.2)
      coefficient *= 1.0 + error * 32 / 100
      np.testing.assert_allclose(state.extra['kl_coef'], coefficient, 1e-5)
      self.assertGreater(abs(error), 0.01)

  def test_minibatches_cover_every_response_once_an_epoch(self):
    # Plain descent on a loss that is linear in the rows: one pass of small
    # steps moves as far as the rows' sum says, whatever their order.
    batch, _ = self.collect(self.config)
    rate = 1e-4
    optimizer = optax.sgd(rate)
    config = dataclasses.replace(
      self.config,
      epochs=1,
      minibatches=4,
      reduction=masking.sequence_sum,
      value_coef=0.0,
    )
    state = training.create(self.params, optimizer)
    moved, _ = policy_gradient.update(
      state,
      self.frozen,
      batch,
      jax.random.key(0),
      models=toy.MODELS,
      optimizer=optimizer,
      config=config,
    )
    whole, _ = training.gradient(policy_gradient.loss)(
      self.params,
      self.frozen,
      flatten(batch),
      jax.random.key(0),
      models=toy.MODELS,
      config=config,
    )
    step = (
      moved.params['policy']['embedding'] - self.params['policy']['embedding']
    )
    np.testing.assert_allclose(
      step, -4 * rate * whole['policy']['embedding'], atol=2e-6
    )
    self.assertEqual(moved.step, 1)

  def test_responses_that_do_not_divide_are_refused(self):
    batch, _ = self.collect(self.config)
    # Its own would divide, those of the batch do not.
    config = dataclasses.replace(self.config, batch_size=5, minibatches=5)
    with self.assertRaisesRegex(ValueError, '32 responses .* 5 minibatches'):
      policy_gradient.update(
        training.create(self.params, optax.sgd(0.1)),
        self.frozen,
        batch,
        jax.random.key(0),
        models=toy.MODELS,
        optimizer=optax.sgd(0.1),
        config=config,
      )


class LossTest(parameterized.TestCase):
  def check(self, *rows):
    """Terms, their sum's gradient, and metrics; returns the definition's."""
    fields, s = online.settings(online.NEUTRAL, *rows)
    config = policy_gradient.Config(**fields)
    params = {'policy': online.NEW, 'critic': online.NEW_CRITIC}
    batch = online.experience(online.BATCH)

    def total(params):
      terms, metrics = policy_gradient.loss(
        params, {}, batch, jax.random.key(0), models=toy.MODELS, config=config
      )
      return training.objective(terms), (terms, metrics)

    grads, (terms, metrics) = jax.grad(total, has_aux=True)(params)
    old = online.numbers(online.NEW), online.numbers(online.NEW_CRITIC)
    expected = definitions.terms(*old, online.BATCH, s)
    found = {name: c * mean.value for name, (c, mean) in terms.items()}
    self.assertEqual(set(found), set(expected))
    for name, number in expected.items():
      np.testing.assert_allclose(found[name], number, atol=1e-5, err_msg=name)
    slopes = definitions.gradient(*old, online.BATCH, s)
    for role, slope in zip(('policy', 'critic'), slopes, strict=True):
      np.testing.assert_allclose(online.numbers(grads[role]), slope, atol=2e-5)
    self.measured(metrics, s)
    return slopes[0]

  def measured(self, metrics, s):
    mask = definitions.MASK
    logps = definitions.logps_of(online.numbers(online.NEW), s.temperature)
    ratios = np.exp(logps - online.BATCH.old_logps)
    expected = {
      'ratio': ratios[mask].mean(),
      'entropy': definitions.entropies_of(
        online.numbers(online.NEW), s.temperature
      )[mask].mean(),
      'update_kl': definitions.k3(online.BATCH.old_logps, logps)[mask].mean(),
      'clip_fraction': self.clipped(s, ratios)[mask].mean(),
    }
    self.assertEqual(set(metrics), set(expected))
    for name, number in expected.items():
      np.testing.assert_allclose(
        metrics[name].value, number, rtol=1e-4, atol=1e-6, err_msg=name
      )

  def clipped(self, s, ratios):
    """Of the only objectives here that clip, and of those that do not."""
    if s.objective is online.NEUTRAL['objective'][1]:
      return np.zeros(ratios.shape)
    gains = online.BATCH.advantages
    if s.objective is online.LOSS['objective']['objective'][1]:
      low, high = 0.1, 0.4
    else:
      low = high = 0.02
      logs = np.log(ratios) * definitions.MASK
      lengths = np.maximum(definitions.MASK.sum(axis=1, keepdims=True), 1)
      means = np.exp(logs.sum(axis=1, keepdims=True) / lengths)
      # A token's log-prob moves the ratio at every token of its response.
      outside = np.where(gains > 0, means > 1 + high, means < 1 - low)
      live = (~outside & (gains != 0)) & definitions.MASK
      return ~live.any(axis=1, keepdims=True) & (gains != 0)
    return np.where(gains > 0, ratios > 1 + high, ratios < 1 - low) & (
      gains != 0
    )

  @parameterized.named_parameters(
    (name, row) for name, row in (online.LOSS | online.REDUCTIONS).items()
  )
  def test_a_field_alone(self, row):
    neutral = definitions.gradient(
      online.numbers(online.NEW),
      online.numbers(online.NEW_CRITIC),
      online.BATCH,
      online.settings(online.NEUTRAL)[1],
    )
    changed = self.check(row)
    if (
      row.get('critic') != online.SEPARATE['critic']
    ):  # Which is not the policy's.
      self.assertGreater(np.abs(changed - neutral[0]).max(), 1e-3)

  def test_all_at_once(self):
    self.check(*online.LOSS.values())

  def test_the_value_clip_matters(self):
    slopes = [
      definitions.gradient(
        online.numbers(online.NEW),
        online.numbers(online.NEW_CRITIC),
        online.BATCH,
        online.settings(online.NEUTRAL, row)[1],
      )[1]
      for row in (online.LOSS['value_coef'], online.LOSS['value_objective'])
    ]
    self.assertGreater(np.abs(slopes[0] - slopes[1]).max(), 1e-3)


class RoundTest(parameterized.TestCase):
  RATE = 0.2

  def run_update(self, config, models=toy.MODELS, step=3, optimizer=None):
    """(state, metrics) of one round from the new policy and critic."""
    optimizer = optimizer or optax.sgd(self.RATE)
    batch = online.experience(online.BATCH)
    shape = len(definitions.PROMPTS), 3
    batch = jax.tree.map(
      lambda x: x.reshape(*shape, *x.shape[1:]), batch.replace(rollouts=None)
    ).replace(rollouts=jax.tree.map(jnp.asarray, definitions.rollouts()))
    state = training.create(
      {'policy': online.NEW, 'critic': online.NEW_CRITIC},
      optimizer,
      {'kl_coef': 0.4},
    ).replace(step=jnp.int32(step))
    return policy_gradient.update(
      state,
      {},
      batch,
      jax.random.key(0),
      models=models,
      optimizer=optimizer,
      config=config,
    )

  def test_two_epochs_are_two_steps_on_the_same_batch(self):
    fields, s = online.settings(online.NEUTRAL, *online.LOSS.values())

    def control(kl_coef, kl, *, steps):
      return kl_coef + 2.0 * kl + 0.01 * steps

    config = policy_gradient.Config(
      **fields, epochs=2, micro_batches=3, kl_control=control
    )
    state, _ = self.run_update(config)
    table, critic = (
      online.numbers(online.NEW),
      online.numbers(online.NEW_CRITIC),
    )
    for _ in range(2):
      slopes = definitions.gradient(table, critic, online.BATCH, s)
      table = table - self.RATE * slopes[0]
      critic = critic - self.RATE * slopes[1]
    moved = state.params
    np.testing.assert_allclose(
      online.numbers(moved['policy']), table, atol=5e-5
    )
    np.testing.assert_allclose(
      online.numbers(moved['critic']), critic, atol=5e-5
    )
    self.assertEqual(state.step, 4)
    # What was sampled, not what the policy has become; of what has a score.
    kl = (online.BATCH.old_logps - online.BATCH.reference_logps).sum(axis=1)
    kl, count = kl[definitions.SCORED].mean(), definitions.SCORED.sum()
    self.assertGreater(abs(kl), 0.05)
    np.testing.assert_allclose(
      state.extra['kl_coef'], 0.4 + 2.0 * kl + 0.01 * count, rtol=1e-5
    )

  def test_a_coefficient_is_kept_where_one_is_adapted(self):
    config = grpo.Config(steps=1, kl_coef=0.7)
    self.assertEqual(config.initial_extra(), {})
    control = functools.partial(
      rewards.adaptive_kl_coef, target=6.0, horizon=100.0
    )
    config = dataclasses.replace(config, kl_control=control)
    self.assertEqual(config.initial_extra(), {'kl_coef': 0.7})

  def test_a_round_is_cut_into_minibatches_and_these_into_parts(self):
    rows = []

    def hidden(params, tokens, *args):
      rows.append(tokens.shape[0])
      return toy.POLICY.hidden(params, tokens, *args)

    models = toy.MODELS._replace(policy=toy.POLICY._replace(hidden=hidden))
    config = policy_gradient.Config(
      **online.settings(online.NEUTRAL)[0],
      epochs=3,
      minibatches=2,
      micro_batches=2,
    )
    state, metrics = self.run_update(config, models, 0, optax.adam(0.1))
    self.assertEqual(set(rows), {12 // 2 // 2})
    self.assertEqual(state.opt_state[0].count, 3 * 2)
    self.assertEqual(metrics['gradient_norm'].weight, 3 * 2)
    self.assertEqual(metrics['ratio'].weight, 3 * definitions.MASK.sum())
    # Nothing is adapted unless asked.
    self.assertEqual(state.extra['kl_coef'], np.float32(0.4))


class InitTest(absltest.TestCase):
  def begin(self, start, **changes):
    config = ppo.Config(steps=1, **changes)
    key = jax.random.key(8)
    return policy_gradient.init(key, start, models=toy.MODELS, config=config)

  def test_what_is_named_is_where_it_starts(self):
    start = {'policy': online.POLICY, 'critic': online.CRITIC}
    found = self.begin(start)
    self.assertIs(found['policy'], online.POLICY)
    self.assertIs(found['critic'], online.CRITIC)
    only = self.begin(start, critic=policy_gradient.no_critic)
    self.assertEqual(set(only), {'policy'})

  def test_what_is_not_is_fresh_under_a_key_of_its_own(self):
    policy_key, critic_key = jax.random.split(jax.random.key(8))
    found = self.begin({})
    expected = toy.POLICY.init(policy_key), toy.SCALAR.init(critic_key)
    for role, params in zip(('policy', 'critic'), expected, strict=True):
      np.testing.assert_array_equal(
        online.numbers(found[role]), online.numbers(params)
      )


class CollectTest(parameterized.TestCase):
  """Who is asked what; the sampler and the scorer are spies."""

  def setUp(self):
    super().setUp()
    self.sampled, self.scored = [], []
    self.prompts, self.key = toy.prompts(4), jax.random.key(5)
    self.params = {'policy': online.POLICY, 'critic': online.CRITIC}
    self.frozen = {'reference': online.REFERENCE, 'reward': {'any': 1.0}}

  def sampler(self, params, prompts, key, *, samples, sampling):
    self.sampled.append((params, prompts, key, samples, sampling))
    rollouts = definitions.rollouts()
    whole = np.concatenate(
      [np.zeros((4, 3, 3), bool), rollouts.attention_mask[..., 3:]], axis=-1
    )
    rollouts = rollouts.replace(response_mask=whole)
    if samples == 1:  # Of unlike lengths; the last does not end.
      rows = np.arange(4), [0, 1, 2, 2]
      one = jax.tree.map(
        lambda x: np.asarray(x)[rows][:, None], rollouts.replace(index=None)
      )
      return one.replace(index=rollouts.index)
    return rollouts

  def scorer(self, frozen, rollouts):
    self.scored.append((frozen, rollouts))
    if rollouts.tokens.shape[1] == 1:
      return definitions.GREEDY[:, None]
    scores = definitions.SCORES.copy()
    for place in definitions.UNSCORED:
      scores[place] = np.nan
    return scores

  @parameterized.parameters(*online.METHODS)
  def test_samples_are_scored_and_shaped(self, method):
    rows = online.rows_of(method).values()
    fields, s = online.settings(online.neutral(method), *rows)
    cut = Sampling(top_p=0.9, min_tokens_to_keep=2)
    models = toy.MODELS._replace(
      sampler=toy.spy(self.sampler), scorer=self.scorer
    )

    def eager(function):
      return function

    with mock.patch.object(collecting, 'jitted', eager):
      batch, metrics = online.METHODS[method].collect(
        toy.state(self.params),
        self.frozen,
        self.prompts,
        self.key,
        models=models,
        # In two steps, before the second of which the policy has moved.
        config=online.config_of(method, fields, sampling=cut, minibatches=2),
      )
    greedy = definitions.GREEDY
    if method == 'remax':
      ended, lengths = np.array([1, 1, 1, 0], bool), np.array([1, 3, 1, 3])
      greedy = definitions.penalised(greedy, ended, lengths, s)
    with mock.patch.object(definitions, 'GREEDY', greedy):
      expected, measured = definitions.experience(method, online.TABLES, s)
    if method == 'dapo':
      measured |= {'prompts_asked': 4.0, 'informative': 1.0}
    online.matches(self, batch, metrics, expected, measured)
    np.testing.assert_array_equal(
      batch.rollouts.response_mask[..., 3:].reshape(12, 3), definitions.MASK
    )

    asked = [3, 1] if method == 'remax' else [3]
    self.assertEqual([samples for *_, samples, _ in self.sampled], asked)
    for params, prompts, key, samples, sampling in self.sampled:
      self.assertIs(params, online.POLICY)
      np.testing.assert_array_equal(prompts.tokens, self.prompts.tokens)
      np.testing.assert_array_equal(prompts.index, self.prompts.index)
      self.assertEqual(key, self.key)  # Nothing but the sampler consumes it.
      draw = draws.greedy if samples == 1 else draws.inverse_cdf
      self.assertEqual(
        sampling, cut.replace(temperature=np.float32(0.6), draw=draw)
      )
    for frozen, _ in self.scored:
      self.assertIs(frozen, self.frozen)

  @parameterized.product(method=('ppo', 'grpo', 'remax', 'dapo'), learnt=(0, 1))
  def test_a_round_is_collected_in_parts(self, method, learnt):
    asked, scored = [], []

    def sampler(params, prompts, key, **how):
      asked.append((prompts.index.tolist(), how.get('at_a_time')))
      return toy.MODELS.sampler.sample(params, prompts, key, **how)

    def scorer(frozen, rollouts):
      scored.append(rollouts.index.tolist())
      return toy.MODELS.scorer({'reward': online.CRITIC}, rollouts)

    models = toy.MODELS._replace(sampler=toy.spy(sampler), scorer=scorer)
    frozen = {'reference': online.REFERENCE}
    found = []
    for parts in (1, 2):
      neutral = online.neutral(method)
      fields, _ = online.settings(neutral)
      asked.clear(), scored.clear()
      found.append(
        online.METHODS[method].collect(
          toy.state(self.params),
          frozen | ({'reward': online.CRITIC} if learnt else {}),
          self.prompts,
          self.key,
          models=models,
          config=online.config_of(method, fields, micro_batches=parts),
        )
      )
    twice = 2 if method == 'remax' else 1
    every = [0, 1, 2, 3]
    self.assertEqual(asked, [(every, 2)] * twice)
    self.assertEqual(scored, ([[0, 2], [1, 3]] if learnt else [every]) * twice)
    (batch, metrics), (expected, told) = found[::-1]
    for one, other in zip(
      jax.tree.leaves(batch), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    for name in told.keys() - {'seconds/sample', 'seconds/score'}:
      np.testing.assert_allclose(
        metrics[name].value, told[name].value, rtol=1e-5, atol=1e-6
      )


class OnePassTest(parameterized.TestCase):
  """Rounds of one step, whose update gives the log-probs from before it."""

  def setUp(self):
    super().setUp()
    self.state = training.create({'policy': online.POLICY}, optax.sgd(0.2))
    self.frozen = {'reference': online.REFERENCE}

  def shaped(self, config, method=grpo, params=None):
    """What a round is shaped to, and what `shape` itself makes of it."""
    given = (
      self.frozen,
      definitions.rollouts(),
      jnp.asarray(definitions.SCORES, jnp.float32),
    )
    params = {'policy': online.POLICY} if params is None else params
    named = {'models': toy.MODELS, 'config': config}
    found = collecting.shape_scored(
      method.shape, toy.state(params), *given, **named
    )
    whole = method.shape(params, *given, **named)
    return found, jax.tree.map(jnp.asarray, whole)

  def updated(self, batch, config):
    return policy_gradient.update(
      self.state,
      self.frozen,
      batch,
      jax.random.key(0),
      models=toy.MODELS,
      optimizer=optax.sgd(0.2),
      config=config,
    )

  @parameterized.product(parts=(1, 2), method=('grpo', 'dapo'))
  def test_equals_two_passes(self, parts, method):
    config = online.config_of(method, {}, micro_batches=parts)
    (batch, metrics), (whole, told) = self.shaped(
      config, online.METHODS[method]
    )
    self.assertIsNone(batch.logps)
    here, measured = self.updated(batch, config)
    there, measured_there = self.updated(whole, config)
    for one, other in zip(
      jax.tree.leaves(here.params), jax.tree.leaves(there.params), strict=True
    ):
      self.assertGreater(np.abs(one - online.numbers(online.POLICY)).max(), 0)
      np.testing.assert_allclose(one, other, atol=1e-6)
    found, expected = metrics | measured, told | measured_there
    self.assertEqual(set(found), set(expected))
    if parts > 1:  # Of which it has the largest of each.
      del found['sampler_gap']
    for name, mean in found.items():
      np.testing.assert_allclose(
        mean.value, expected[name].value, atol=1e-5, err_msg=name
      )
    self.assertEqual(measured['ratio'].value, 1.0)
    self.assertEqual(measured['update_kl'].value, 0.0)

  def test_a_round_is_shaped_without_the_policy(self):
    config = grpo.Config(steps=1, batch_size=4, samples=3)
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), online.POLICY)
    (batch, metrics), _ = self.shaped(config, params={'policy': broken})
    (expected, _), _ = self.shaped(config)
    chex.assert_tree_all_finite((batch.advantages, metrics))
    np.testing.assert_array_equal(batch.advantages, expected.advantages)

  def test_so_is_one_of_remax(self):
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), online.POLICY)
    scores = jnp.asarray(definitions.SCORES, jnp.float32)
    batch, metrics = collecting.shape_scored(
      remax.shape,
      toy.state({'policy': broken}),
      self.frozen,
      definitions.rollouts(),
      scores,
      scores[:, 0],
      models=toy.MODELS,
      config=remax.Config(steps=1, batch_size=4, samples=3, kl_coef=0.0),
    )
    self.assertIsNone(batch.logps)
    chex.assert_tree_all_finite((batch.advantages, metrics))

  @parameterized.parameters({'minibatches': 2}, {'epochs': 2}, {'kl_coef': 0.1})
  def test_what_needs_the_policy_before_has_its_pass(self, **changes):
    config = grpo.Config(steps=1, batch_size=4, samples=3, **changes)
    (batch, metrics), (whole, _) = self.shaped(config)
    np.testing.assert_allclose(batch.logps, whole.logps, atol=1e-6)
    self.assertIn('sampler_gap', metrics)


class OptimizerTest(parameterized.TestCase):
  def rates(self, config, count):
    """{role: the sizes of its steps}, under a gradient that is always 1."""
    optimizer = config.make_optimizer()
    params = {role: jnp.zeros(()) for role in config.roles()}
    state = optimizer.init(params)
    one = jax.tree.map(jnp.ones_like, params)

    def step(state, _):
      updates, state = optimizer.update(one, state, params)
      return state, updates

    _, updates = jax.lax.scan(step, state, length=count)
    return jax.tree.map(lambda x: -np.asarray(x), updates)

  def adam(self, rate):
    return optimizers.Adam(
      learning_rate=rate, warmup=0.0, decay=optimizers.linear
    )

  @parameterized.parameters(None, 0.3)
  def test_a_role_s_own_over_all_inner_steps(self, other):
    config = ppo.Config(
      steps=5,
      batch_size=4,
      epochs=3,
      minibatches=2,
      optimizer=self.adam(0.1),
      critic_optimizer=None if other is None else self.adam(other),
    )
    found = self.rates(config, 32)
    falls = 1.0 - np.minimum(np.arange(32), 30) / 30
    np.testing.assert_allclose(found['policy'], 0.1 * falls, atol=1e-6)
    np.testing.assert_allclose(
      found['critic'], (other or 0.1) * falls, atol=1e-6
    )

  def test_without_a_critic_there_is_one_role(self):
    for critic in (policy_gradient.separate_critic, policy_gradient.no_critic):
      config = ppo.Config(steps=1, critic=critic)
      with_critic = critic is policy_gradient.separate_critic
      self.assertEqual('critic' in config.roles(), with_critic)
    self.assertEqual(set(rloo.Config(steps=1).roles()), {'policy'})


class CompleteTest(absltest.TestCase):
  def test_every_field_has_a_row(self):
    fields = {f.name for f in dataclasses.fields(policy_gradient.Config)}
    held = online.LOSS.keys() | online.ROUNDS | online.CONTROL
    self.assertEqual(fields - held, set())


if __name__ == '__main__':
  absltest.main()
