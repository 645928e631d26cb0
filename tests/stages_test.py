"""Methods as data, placed in an experiment."""

import dataclasses

from absl.testing import absltest, parameterized

from rlhf_jax.kernels import ensembles
from rlhf_jax.stages import DatasetMethod, Ensemble, Method, Online, playing
from rlhf_jax.types import Comparison, Prompt


def init(key, start, *, models, config):
  """Of nothing."""


def update(state, frozen, batch, key, *, models, optimizer, config):
  """Of nothing."""


def build(records, queries, *, config):
  """Of nothing."""


def program(prompts, responses):
  return [0.0 for _ in responses]


TRAINED = Method(name='trained', data='pairs', init=init, update=update)
SAMPLED = Online(
  name='sampled',
  init=init,
  update=update,
  start={'policy': 'start', 'critic': 'reward'},
)
WRITTEN = DatasetMethod(
  name='written',
  data='prompts',
  build=build,
  builds=Comparison,
  policy='policy',
  frozen={'reward': 'reward'},
  sources={'policy': 'ppo'},
)


class MethodTest(parameterized.TestCase):
  def stage(self, method, **given):
    ((name, stage),) = method('config', **given).items()
    self.assertEqual(name, given.get('name', method.name))
    return stage

  def test_what_nobody_says_is_the_methods(self):
    stage = self.stage(TRAINED)
    self.assertEqual(stage.config, 'config')
    self.assertEqual(stage.data, 'pairs')
    self.assertEqual(stage.start, {'policy': 'sft'})
    self.assertEqual(stage.frozen, {})
    self.assertEqual((stage.log_every, stage.checkpoint_every), (10, 200))

  def test_what_is_said_is_taken(self):
    stage = self.stage(
      TRAINED, name='other', data=('a', 'b'), start='ppo', curriculum=3
    )
    self.assertEqual(stage.data, ('a', 'b'))
    self.assertEqual(stage.start, {'policy': 'ppo'})
    self.assertEqual(stage.curriculum, 3)

  @parameterized.parameters(
    ('rm', {'policy': 'sft', 'critic': 'rm'}),
    (Ensemble(('a', 'b'), ensembles.worst), {'policy': 'sft', 'critic': 'a'}),
    (program, {'policy': 'sft'}),
  )
  def test_a_critic_starts_from_whoever_was_trained_to_score(
    self, reward, start
  ):
    stage = self.stage(SAMPLED, reward=reward)
    self.assertEqual(stage.start, start)
    self.assertEqual(stage.frozen, {'reference': 'sft', 'reward': reward})
    self.assertEqual(stage.reads, (Prompt,))
    self.assertEqual((stage.log_every, stage.checkpoint_every), (1, 10))

  def test_other_roles_may_be_started(self):
    stage = self.stage(TRAINED, start={'reward': 'rm'})
    self.assertEqual(stage.start, {'reward': 'rm'})

  def test_nothing_to_start_from(self):
    self.assertEqual(self.stage(TRAINED, start=None).start, {})

  @parameterized.parameters(
    (TRAINED, 'reward', "trained takes no 'reward'; it takes start"),
    (SAMPLED, 'policy', "sampled takes no 'policy'; it takes reward, start"),
    (WRITTEN, 'start', "written takes no 'start'; it takes policy, reward"),
  )
  def test_a_role_that_it_has_not_is_refused(self, method, name, said):
    with self.assertRaisesRegex(TypeError, said):
      method('config', **{name: 'sft'})

  def test_a_writer_asks_whom_it_names(self):
    stage = self.stage(WRITTEN)
    self.assertEqual(stage.policy, 'ppo')
    self.assertEqual(stage.frozen, {'reward': 'reward_model'})
    self.assertEqual((stage.data, stage.builds), ('prompts', Comparison))
    self.assertIsNone(self.stage(WRITTEN, policy=None).policy)

  def test_a_writer_may_ask_whom_its_config_says(self):
    def asked(config, sources):
      return {'policy': None, 'frozen': {config: sources['judge']}}

    judged = dataclasses.replace(
      WRITTEN, asked=asked, sources={'judge': 'ranker'}
    )
    self.assertEqual(self.stage(judged).frozen, {'config': 'ranker'})
    self.assertEqual(self.stage(judged, judge='x').frozen, {'config': 'x'})


class PlayingTest(parameterized.TestCase):
  """What another stage takes of a finished one, by role."""

  @parameterized.parameters(
    # What is trained for the role itself,
    (('policy',), 'policy', 'policy'),
    (('critic', 'policy'), 'critic', 'critic'),
    (('bottleneck', 'reward'), 'reward', 'reward'),
    (('attributes',), 'attributes', 'attributes'),
    (('scale',), 'scale', 'scale'),
    # be it one of several,
    (('reward',), 'reward 1', 'reward'),
    # or what may play it.
    (('critic', 'policy'), 'reference', 'policy'),
    (('bottleneck', 'reward'), 'critic', 'reward'),
    (('reward',), 'ranker', 'reward'),
    (('reward',), 'attributes', 'reward'),
  )
  def test_what_plays_a_role(self, trained, role, given):
    params = {name: object() for name in trained}
    self.assertIs(playing(params, role), params[given])

  @parameterized.parameters(
    (('policy', 'value'), 'critic'),
    (('policy',), 'reward'),
    (('reward',), 'policy'),
    (('policy',), 'attributes'),
  )
  def test_what_nothing_plays_is_refused(self, trained, role):
    with self.assertRaisesRegex(
      ValueError, f'of {", ".join(trained)}, and none that play a {role};'
    ):
      playing(dict.fromkeys(trained), role)


if __name__ == '__main__':
  absltest.main()
