"""A method bound to its models does what its functions do."""

import chex
import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.methods import dpo, kto, ppo, rloo
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.training.learner import learner_of
from tests import toy

KEY = jax.random.key(3)
DPO = dpo.Config(steps=3)
RLOO = rloo.Config(steps=3, batch_size=4, samples=2)


def policy(seed):
  return toy.POLICY.init(jax.random.key(seed))


class LearnerTest(absltest.TestCase):
  def test_a_step_is_the_method_s_update(self):
    learner = learner_of(dpo.stages, DPO, toy.MODELS)
    state = learner.init(KEY, {'policy': policy(1)})
    chex.assert_trees_all_equal(state.params, {'policy': policy(1)})
    frozen, batch = {'reference': policy(2)}, toy.comparisons(4)
    found = learner.step(state, frozen, batch, KEY)
    expected = jitted(dpo.update)(
      state,
      frozen,
      batch,
      KEY,
      models=toy.MODELS,
      optimizer=DPO.make_optimizer(),
      config=DPO,
    )
    chex.assert_trees_all_equal(found, expected)
    self.assertEqual(int(found[0].step), 1)

  def test_a_step_answers_prompts_first_where_the_method_samples(self):
    learner = learner_of(rloo.stages, RLOO, toy.MODELS)
    state = learner.init(KEY)
    frozen = {'reference': policy(2), 'reward': toy.SCALAR.init(KEY)}
    moved, metrics = learner.step(state, frozen, toy.prompts(4), KEY)
    sampling, rest = jax.random.split(KEY)
    bound = {'models': toy.MODELS, 'config': RLOO}
    batch, seen = rloo.collect(state, frozen, toy.prompts(4), sampling, **bound)
    expected, learnt = jitted(rloo.update)(
      state, frozen, batch, rest, optimizer=RLOO.make_optimizer(), **bound
    )
    chex.assert_trees_all_equal(moved, expected)
    names = {n for n in seen | learnt if not n.startswith('seconds')}
    self.assertContainsSubset(names, metrics)
    for name in names:
      chex.assert_trees_all_equal(metrics[name], (seen | learnt)[name])

  def test_the_state_has_what_the_config_adapts(self):
    config = kto.Config(steps=3)
    state = learner_of(kto.stages, config, toy.MODELS).init(KEY)
    self.assertEqual(
      {n: float(x) for n, x in state.extra.items()}, config.initial_extra()
    )

  def test_roles_that_are_not_given_are_drawn(self):
    learner = learner_of(ppo.stages, ppo.Config(steps=3), toy.MODELS)
    state = learner.init(KEY, {'policy': policy(1)})
    chex.assert_trees_all_equal(state.params['policy'], policy(1))
    again = learner.init(KEY)
    chex.assert_trees_all_equal(again.params['critic'], state.params['critic'])
    table = again.params['policy']['embedding']
    self.assertFalse(np.array_equal(table, policy(1)['embedding']))

  def test_what_is_sampled_from_has_what_stays_beside_adapters(self):
    learner = learner_of(rloo.stages, RLOO, toy.MODELS)
    whole = policy(1)
    state = training.create({'policy': {}}, RLOO.make_optimizer())
    frozen = {
      'reference': whole,
      'reward': toy.SCALAR.init(KEY),
      'base': {'policy': whole},
    }
    batch, _ = learner.collect(state, frozen, toy.prompts(4), KEY)
    plain = learner.init(KEY, {'policy': whole})
    del frozen['base']
    expected, _ = learner.collect(plain, frozen, toy.prompts(4), KEY)
    chex.assert_trees_all_equal(batch, expected)

  def test_a_state_is_overwritten_only_where_that_is_asked_for(self):
    batch = toy.comparisons(4)
    for donate in (False, True):
      learner = learner_of(dpo.stages, DPO, toy.MODELS, donate=donate)
      state = learner.init(KEY)
      learner.update(state, {'reference': policy(2)}, batch, KEY)
      gone = state.params['policy']['embedding'].is_deleted()
      self.assertEqual(gone, donate)


if __name__ == '__main__':
  absltest.main()
