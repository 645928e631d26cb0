"""Does RLP get better when it is repeated? The paper stops after one round.

Round 1 is RLP-SPG of `sandbox.py`; two more follow, each of which samples the
newest policy and trains the reward model and the policy again, both from SFT.
Holds if each round beats the one before.
Run: python -m launch.seeds experiments/rlp/rounds.py --seeds 0 1 2 3 4
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_chain import rlp as chain
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import rlp

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  first = {'rlp_spg': chain.spg_stages(settings, name='reward_model_spg')}
  return sandbox_chain.experiment(
    settings,
    title='RLP-SPG in rounds',
    stages=chain.sampled_stages(settings)
    | chain.arms(settings, first)
    | rlp.rounds(
      2,
      samples=rlp.samples.Config(),
      retrain=functools.partial(_retrain, settings),
      learn=functools.partial(chain.learn_stages, settings),
      earlier=1,
      policy='rlp_spg',
      reward='reward_model_spg',
      name='spg',
    ),
    scored_by='reward_model',
    contrasts={
      'round 1 beats PPO': ('rlp_spg', 'ppo'),
      'round 2 beats round 1': ('spg_2', 'rlp_spg'),
      'round 3 beats round 2': ('spg_3', 'spg_2'),
    },
  )


def _retrain(settings, *, samples, policy, reward, name):
  del policy, reward  # They have made and scored the samples already.
  return chain.spg_stages(settings, samples=samples, name=name)
