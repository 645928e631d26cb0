"""WARM: the mean of weights, and what may be averaged."""

import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.experiment import running
from rlhf_jax.methods import reward_model, warm
from rlhf_jax.stages import producing
from rlhf_jax.training import state as training
from tests import toy
from tests.experiment import small


def member(name, start='probe'):
  begins = {'start': {'reward': start}} if start else {}
  return reward_model.stages(reward_model.Config(steps=1), name=name, **begins)


def averaged(members):
  return warm.init(
    jax.random.key(0), members, models=toy.MODELS, config=warm.Config()
  )['reward']


class AverageTest(parameterized.TestCase):
  MEMBERS = {
    role: toy.SCALAR.init(jax.random.key(i))
    for i, role in enumerate(('reward', 'reward 1', 'reward 2'))
  }

  def test_of_every_weight(self):
    kernels = [np.asarray(m['head']['kernel']) for m in self.MEMBERS.values()]
    np.testing.assert_allclose(
      averaged(self.MEMBERS)['head']['kernel'], sum(kernels) / 3, rtol=1e-6
    )

  def test_over_one_trunk_its_scores_are_the_members_mean(self):
    batch = toy.comparisons(4)
    rows = batch.tokens.reshape(8, -1), batch.attention_mask.reshape(8, -1)
    each = [toy.SCALAR.scores(m, *rows) for m in self.MEMBERS.values()]
    np.testing.assert_allclose(
      toy.SCALAR.scores(averaged(self.MEMBERS), *rows),
      np.mean(each, axis=0),
      atol=1e-5,
    )

  def test_members_of_other_sizes_are_refused(self):
    other = toy.SCALAR.init(jax.random.key(4), scores=2)
    with self.assertRaisesRegex(ValueError, 'are of different sizes; start'):
      averaged({'reward': self.MEMBERS['reward'], 'reward 1': other})

  def test_it_is_measured_and_stays(self):
    batch = toy.comparisons(6).replace(weight=np.float32([1, 0, 2, 1, 1, 1]))
    config = warm.Config()
    state = training.create(
      {'reward': averaged(self.MEMBERS)}, config.make_optimizer()
    )
    moved, metrics = warm.measure(
      state, {}, batch, jax.random.key(0), models=toy.MODELS,
      optimizer=config.make_optimizer(), config=config,
    )  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, moved.params, state.params)
    self.assertEqual(moved.step, 1)
    kernel = np.asarray(state.params['reward']['head']['kernel'])[:, 0]
    scores = (kernel[batch.tokens] * batch.attention_mask).sum(-1)
    gaps = scores[:, 0] - scores[:, 1]
    right = (gaps > 1e-6) + 0.5 * (abs(gaps) <= 1e-6)
    self.assertAlmostEqual(
      float(metrics['accuracy'].value),
      np.average(right, weights=batch.weight),
      places=5,
    )


class StagesTest(parameterized.TestCase):
  def test_the_members_then_their_mean(self):
    trained = member('one') | member('two') | member('three')
    found = warm.stages(warm.Config(batch_size=8), trained=trained, data='x')
    self.assertEqual(list(found), ['one', 'two', 'three', 'warm'])
    self.assertEqual({n: found[n] for n in trained}, trained)
    self.assertEqual(list(producing(found, 'reward')), list(found))
    self.assertEqual(
      found['warm'].start,
      {'reward': 'one', 'reward 1': 'two', 'reward 2': 'three'},
    )
    self.assertEqual(
      (found['warm'].data, found['warm'].config.batch_size), ('x', 8)
    )

  @parameterized.parameters(
    (('one', 'probe'),),
    (('one', 'probe'), ('two', 'other')),
    (('one', None), ('two', None)),
  )
  def test_what_starts_apart_is_refused(self, *members):
    made = {}
    for name, start in members:
      made |= member(name, start)
    with self.assertRaisesRegex(ValueError, 'more that start from one, and'):
      warm.stages(warm.Config(), trained=made)

  def test_more_than_one_step_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'steps is 2; .* leave it 1'):
      warm.Config(steps=2)

  def test_in_a_chain_it_is_a_reward_model_of_the_members_mean(self):
    members = member('one', 'reward_model') | member('two', 'reward_model')
    made = warm.stages(
      warm.Config(batch_size=8), trained=members, data='comparisons'
    )
    made = {
      name: stage._replace(data='comparisons') for name, stage in made.items()
    }
    with tempfile.TemporaryDirectory() as folder:
      chain = small.chain(pathlib.Path(folder), made)
      start = small.params('reward')
      thrice = jax.tree.map(lambda x: 3.0 * x, start)
      chain.loaded.update(one={'reward': start}, two={'reward': thrice})
      running.run_stage(chain, 'warm')
      found = chain.trained.params('warm', 'reward')
      critic = chain.trained.params('warm', 'critic')
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, 2.0 * y, rtol=1e-6),
      found,
      start,
    )
    self.assertIs(critic, found)


if __name__ == '__main__':
  absltest.main()
