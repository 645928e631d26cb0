"""PPO: its fields one by one, and where its critic starts."""

import functools

from absl.testing import absltest

from rlhf_jax.kernels import ensembles
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import ppo
from rlhf_jax.stages import Ensemble
from rlhf_jax.training import optimizers
from tests.methods import online


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


class WiringTest(online.ShapeCase):
  method = 'ppo'
  defaults = {
    'Config': {
      'batch_size': 512,
      'objective': functools.partial(
        surrogates.clipped_surrogate, clip_epsilon=0.2
      ),
      'critic': policy_gradient.separate_critic,
      'value_coef': 0.1,
      'kl_coef': 0.02,
      'unended_penalty': 1.0,
      'whiten_rewards': False,
      'whiten_advantages': True,
      'discount': 1.0,
      'gae_lambda': 0.95,
      'epochs': 2,
      'minibatches': 2,
      'optimizer': optimizers.Adam(learning_rate=1e-5),
      'critic_optimizer': None,
    }
  }


if __name__ == '__main__':
  absltest.main()
