"""Where PPO's critic starts, whatever scores the responses."""

from absl.testing import absltest

from rlhf_jax.kernels import ensembles
from rlhf_jax.methods import ppo
from rlhf_jax.stages import Ensemble


def program(prompts, responses):
  del prompts
  return [float(len(r)) for r in responses]


class StagesTest(absltest.TestCase):
  def start(self, reward):
    (stage,) = ppo.stages(ppo.Config(steps=1), reward=reward).values()
    self.assertEqual(stage.frozen, {'reference': 'sft', 'reward': reward})
    return stage.start

  def test_from_the_reward_model(self):
    self.assertEqual(self.start('rm'), {'policy': 'sft', 'critic': 'rm'})

  def test_from_the_first_of_several(self):
    several = Ensemble(('a', 'b'), ensembles.worst)
    self.assertEqual(self.start(several), {'policy': 'sft', 'critic': 'a'})

  def test_afresh_where_a_program_scores(self):
    self.assertEqual(self.start(program), {'policy': 'sft'})


if __name__ == '__main__':
  absltest.main()
