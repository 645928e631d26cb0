"""Policy gradients on a policy whose responses can all be listed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import importance, masking, rewards, token_masks
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as objectives
from rlhf_jax.methods import dapo, grpo, ppo
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean, flatten_candidates
from tests import toy

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
      self.params,
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


if __name__ == '__main__':
  absltest.main()
