"""RLP's stages: samples, retraining, scale, rounds, and the paper's values."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import bottleneck
from rlhf_jax.learners.reward import multi_view
from rlhf_jax.losses import multi_view as losses
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import ppo, reward_model, rlp, sft
from rlhf_jax.models import TransformerConfig, scalar_model
from rlhf_jax.stages import (
  DatasetStage,
  datasets,
  parameter_sources,
  producing,
)
from rlhf_jax.training import optimizers
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Models, Sampled
from tests import toy
from tests.methods.fake_queries import FakeQueries, prompt

MODEL = TransformerConfig(
  vocab_size=toy.VOCABULARY, layers=1, width=8, heads=2, kv_heads=1,
  head_width=4, mlp_width=8,
)  # fmt: skip
MODELS = Models(reward=scalar_model(MODEL))


class SamplesTest(absltest.TestCase):
  def test_as_many_as_the_config_says_and_as_they_were_drawn(self):
    drawn = [Sampled(prompt('a'), ('x', 'x'), (True, False), (2, 3), (-1, -2))]
    fake = FakeQueries(drawn=drawn)
    config = rlp.samples.Config(samples=4, sampling=Sampling(temperature=0.5))
    found = rlp.samples.build([prompt('a')], fake.queries, config=config)
    self.assertEqual(found, drawn)
    self.assertEqual(fake.sampled, [(4, Sampling(temperature=0.5))])

  def test_the_policy_is_scored_by_what_it_learnt_from(self):
    (stage,) = rlp.samples.stages(
      rlp.samples.Config(), data='u', policy='p', reward='r'
    ).values()
    self.assertIsInstance(stage, DatasetStage)
    self.assertEqual((stage.data, stage.policy), ('u', 'p'))
    self.assertEqual(stage.frozen, {'reward': 'r'})
    self.assertIsNone(stage.config.count)  # All prompts, once.


class PaperTest(parameterized.TestCase):
  """The values of rlp.md, section 7, that are the method's own."""

  def test_retraining(self):
    config = rlp.paper(steps=625)
    # L_M: Jensen–Shannon and SKL at β = 1 throughout, times λ = 0.5.
    self.assertIs(config.representation, losses.information_bottleneck)
    self.assertEqual(config.representation_coef, 0.5)
    self.assertEqual(config.skl_coef, 1.0)
    self.assertIsNone(config.schedule)
    # Widths that the paper does not give are those of Federici et al.
    self.assertEqual((config.latent, config.critic_hidden), (64, 1024))
    self.assertIs(config.log_variance, bottleneck.softplus_log_variance)
    self.assertEqual(config.deviation_bias, 0.0)
    self.assertIs(config.negatives, bottleneck.negative_pairs)
    # 16 pairs a step, and 32 prompts beside them.
    self.assertEqual((config.batch_size, config.extra_batch_size), (16, 32))
    # What AlpacaFarm's reward model is trained with, and nothing besides.
    self.assertIs(config.objective, pairwise.bradley_terry)
    self.assertEqual(config.centering, 0.0)
    self.assertEqual(config.micro_batches, 1)
    self.assertIsNone(config.most_gradient)
    own, beside = config.optimizer, config.bottleneck_optimizer
    self.assertEqual((own.learning_rate, own.warmup), (3e-6, 0.03))
    self.assertEqual((own.b1, own.b2, own.eps), (0.9, 0.999, 1e-8))
    self.assertEqual((own.weight_decay, own.max_grad_norm), (0.0, 1.0))
    decay = own.decay(100)
    for step, value in ((0, 1.0), (50, 0.5), (100, 0.0)):
      np.testing.assert_allclose(decay(step), value, atol=1e-6)
    self.assertEqual(
      (beside.learning_rate, beside.b1, beside.b2, beside.weight_decay),
      (1e-4, 0.9, 0.999, 0.0),
    )
    np.testing.assert_allclose([beside.decay(100)(s) for s in (0, 99)], 1.0)

  @parameterized.parameters((64, 64), (1024, 1024), (4096, 1024))
  def test_inner_layers_are_as_wide_as_the_trunk_up_to_1024(self, width, inner):
    def init(key, *, scores=1):
      del key
      return {'trunk': {}, 'head': {'kernel': np.zeros((width, scores))}}

    models = toy.MODELS._replace(reward=toy.SCALAR._replace(init=init))
    params = jax.eval_shape(
      functools.partial(
        multi_view.init, models=models, config=rlp.paper(steps=1)
      ),
      jax.random.key(0),
      {},
    )['bottleneck']
    for name in ('mean', 'deviation'):
      shapes = [params[name][k]['kernel'].shape for k in params[name]]
      self.assertCountEqual(
        shapes, [(width, inner), (inner, inner), (inner, 64)]
      )
    shapes = [layer['kernel'].shape for layer in params['critic'].values()]
    self.assertCountEqual(shapes, [(128, 1024), (1024, 1024), (1024, 1)])

  def test_samples_and_pairs(self):
    config = rlp.samples.Config()
    self.assertEqual((config.samples, config.count), (10, None))
    # Nothing is cut off: temperature 1, and no top-k or top-p.
    self.assertEqual(config.sampling, Sampling(temperature=1.0))
    self.assertEqual(rlp.synthetic.Config().gamma, 0.5)
    self.assertEqual(rlp.synthetic.Config().weight, 1.0)

  def test_the_stable_one_differs_in_start_and_balance_alone(self):
    paper, stable = rlp.paper(steps=5), rlp.stable(steps=5)
    changed = {
      field.name
      for field in dataclasses.fields(paper)
      if getattr(paper, field.name) != getattr(stable, field.name)
    }
    self.assertEqual(
      changed, {'schedule', 'log_variance', 'deviation_bias', 'most_gradient'}
    )
    self.assertIs(stable.schedule, bottleneck.exponential)
    self.assertEqual((stable.most_gradient, stable.deviation_bias), (1.0, -2.0))

  def test_other_values_may_be_given(self):
    self.assertEqual(rlp.paper(steps=3, latent=7).latent, 7)
    self.assertEqual(rlp.paper(steps=3, skl_coef=0.5).skl_coef, 0.5)

  def test_a_batch_is_not_cut(self):
    with self.assertRaisesRegex(ValueError, 'set micro_batches to 1'):
      rlp.Config(steps=1, micro_batches=2)


class RetrainingTest(absltest.TestCase):
  def test_starts_from_sft_with_samples_beside(self):
    (stage,) = rlp.stages(
      rlp.Config(steps=1), data=('d', 'd_hat'), extra_data='p', name='uml'
    ).values()
    self.assertEqual(stage.start, {'policy': 'sft'})
    self.assertEqual((stage.data, stage.extra_data), (('d', 'd_hat'), 'p'))
    self.assertEqual(stage.produces, 'reward')
    self.assertEqual(dict(stage.frozen), {})
    self.assertIsNone(stage.collect)
    row = {'jensen_shannon': -1.3863}
    self.assertIn('tell nothing of each other', stage.alarm(row, 0.5))

  def test_may_go_on_from_the_first_reward_model(self):
    (stage,) = rlp.stages(
      rlp.Config(steps=1), start={'reward': 'reward_model'}
    ).values()
    self.assertEqual(stage.start, {'reward': 'reward_model'})
    reward = toy.SCALAR.init(jax.random.key(3))
    params = stage.init(
      jax.random.key(0),
      {'reward': reward},
      models=toy.MODELS,
      config=rlp.Config(steps=1, latent=2, hidden=4, critic_hidden=4),
    )
    jax.tree.map(np.testing.assert_array_equal, params['reward'], reward)

  def test_networks_beside_learn_at_a_rate_of_their_own(self):
    config = rlp.retraining.Config(
      steps=9,
      optimizer=optimizers.Adam(learning_rate=0.1, warmup=0.0),
      bottleneck_optimizer=optimizers.Adam(learning_rate=0.01, warmup=0.0),
    )
    optimizer = config.make_optimizer()
    params = {'reward': jnp.zeros(1), 'bottleneck': jnp.zeros(1)}
    grads = {'reward': jnp.ones(1), 'bottleneck': jnp.ones(1)}
    moved, _ = optimizer.update(grads, optimizer.init(params), params)
    # The first step of Adam is the rate itself.
    np.testing.assert_allclose(moved['reward'], -0.1, rtol=1e-4)
    np.testing.assert_allclose(moved['bottleneck'], -0.01, rtol=1e-4)


class ScaleTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # 5 prompts with 3, 2, 3, 1 and 2 responses; what fills the rest is junk.
    batch = toy.ranked_lists((3, 2, 3, 1, 2))
    there = batch.candidate_mask
    cls.batch = batch.replace(
      tokens=np.where(there[..., None], batch.tokens, 1),
      attention_mask=batch.attention_mask | ~there[..., None],
    )
    own, like = (MODELS.reward.init(jax.random.key(k)) for k in (1, 2))
    # Another scale by far, and another sign: the order is the model's own.
    like['head']['kernel'] = -30.0 * like['head']['kernel']
    like['head']['bias'] = like['head']['bias'] + 7.0
    own['head']['bias'] = own['head']['bias'] - 2.0
    cls.own, cls.like = own, like
    config = rlp.scale.Config()
    optimizer = config.make_optimizer()
    cls.state = training.create({'reward': own}, optimizer)
    cls.moved, cls.metrics = jitted(rlp.scale.update)(
      cls.state,
      {'reward': like},
      cls.batch,
      jax.random.key(0),
      models=MODELS._replace(scorer=scoring.model_scorer(MODELS.reward)),
      optimizer=optimizer,
      config=config,
    )

  def scores(self, params):
    """[11] scores of the responses that there are."""
    there = self.batch.candidate_mask
    tokens, mask = self.batch.tokens[there], self.batch.attention_mask[there]
    scores = jax.jit(MODELS.reward.scores)(params, tokens, mask)
    return np.asarray(scores[:, 0], np.float64)

  def test_mean_and_deviation_are_the_other_model_s(self):
    before, after, like = map(
      self.scores, (self.own, self.moved.params['reward'], self.like)
    )
    np.testing.assert_allclose(after.mean(), like.mean(), rtol=1e-4)
    np.testing.assert_allclose(after.std(), like.std(), rtol=1e-4)
    # Which were far from it.
    self.assertGreater(like.std(), 3.0 * before.std())
    self.assertGreater(abs(like.mean() - before.mean()), 1.0)

  def test_the_ranking_is_its_own(self):
    before, after = map(self.scores, (self.own, self.moved.params['reward']))
    scale = self.metrics['scale'].value
    self.assertGreater(scale, 0.0)
    np.testing.assert_allclose(
      after, scale * before + self.metrics['shift'].value, atol=1e-4
    )
    # Equal texts score alike but for rounding.
    self.assertGreater(np.diff(after[np.argsort(before)]).min(), -1e-4)
    self.assertGreater(np.ptp(before), 1e-2)

  def test_the_head_alone_changes(self):
    jax.tree.map(
      np.testing.assert_array_equal,
      self.moved.params['reward']['trunk'],
      self.own['trunk'],
    )
    self.assertEqual(self.moved.step, 1)
    self.assertEqual(
      jax.tree.structure(self.moved), jax.tree.structure(self.state)
    )

  def test_the_reward_before_is_not_measured(self):
    uml = rlp.stages(rlp.Config(steps=1), name='raw')
    synthetic = rlp.synthetic.stages(rlp.synthetic.Config())
    found = rlp.scale.stages(
      rlp.scale.Config(), trained=synthetic | uml, like='r', name='made'
    )
    self.assertEqual(list(found), ['synthetic', 'raw', 'made'])
    self.assertEqual(found['made'].start, {'reward': 'raw'})
    self.assertEqual(found['made'].frozen, {'reward': 'r'})
    self.assertEqual(list(producing(found, 'reward')), ['made'])
    self.assertEqual(found['raw']._replace(produces='reward'), uml['raw'])
    self.assertEqual(found['synthetic'], synthetic['synthetic'])

  def test_more_than_one_step_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'steps is 2'):
      rlp.scale.Config(steps=2)


class RoundsTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()

    def retrain(*, samples, policy, reward, name):
      del reward
      made = rlp.synthetic.stages(
        rlp.synthetic.Config(), data=samples, name=f'{name}_pairs'
      )
      return made | reward_model.stages(
        reward_model.Config(steps=1),
        data=('preferences', f'{name}_pairs'),
        name=name,
      )

    def learn(*, reward, name):
      return ppo.stages(ppo.Config(steps=1), reward=reward, name=name)

    cls.found = rlp.rounds(
      3, samples=rlp.samples.Config(), retrain=retrain, learn=learn
    )

  def test_counts_on_from_earlier_rounds(self):
    found = rlp.rounds(
      1,
      samples=rlp.samples.Config(),
      retrain=lambda *, samples, policy, reward, name: {name: (policy, reward)},
      learn=lambda *, reward, name: {name: reward},
      earlier=1,
      policy='rlp_1',
      reward='rlp_1_reward',
    )
    self.assertEqual(list(found), ['rlp_2_samples', 'rlp_2_reward', 'rlp_2'])
    self.assertEqual(found['rlp_2_samples'].policy, 'rlp_1')
    self.assertEqual(found['rlp_2_reward'], ('rlp_1', 'rlp_1_reward'))
    self.assertEqual(found['rlp_2'], 'rlp_2_reward')

  def test_names_in_order(self):
    parts = ('_samples', '_reward_pairs', '_reward', '')
    self.assertEqual(
      list(self.found),
      [f'rlp_{number}{part}' for number in (1, 2, 3) for part in parts],
    )

  def test_each_round_samples_the_newest_policy(self):
    drawn = [self.found[f'rlp_{n}_samples'] for n in (1, 2, 3)]
    self.assertEqual([d.policy for d in drawn], ['ppo', 'rlp_1', 'rlp_2'])
    self.assertEqual(
      [d.frozen['reward'] for d in drawn],
      ['reward_model', 'rlp_1_reward', 'rlp_2_reward'],
    )

  def test_each_round_s_pairs_are_of_its_own_samples(self):
    for n in (1, 2, 3):
      pairs = self.found[f'rlp_{n}_reward_pairs']
      self.assertEqual(pairs.data, f'rlp_{n}_samples')
      trained = self.found[f'rlp_{n}_reward']
      self.assertEqual(trained.data, ('preferences', f'rlp_{n}_reward_pairs'))

  def test_every_policy_starts_from_sft_and_stays_near_it(self):
    for n in (1, 2, 3):
      policy = self.found[f'rlp_{n}']
      self.assertEqual(policy.start['policy'], 'sft')
      self.assertEqual(
        policy.frozen, {'reference': 'sft', 'reward': f'rlp_{n}_reward'}
      )

  def test_is_a_chain_that_can_be_run(self):
    done = {'sft', 'reward_model', 'ppo'}
    self.assertEqual(list(sft.stages(sft.Config(steps=1))), ['sft'])
    for name, stage in self.found.items():
      needed = set(parameter_sources(stage).values())
      needed |= set(datasets(stage)) - {'prompts', 'preferences'}
      self.assertLessEqual(needed, done, name)
      done.add(name)


if __name__ == '__main__':
  absltest.main()
