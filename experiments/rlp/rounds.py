"""Does RLP get better when it is repeated? The paper stops after one round.

Three rounds of steps 3 to 5, with RLP-UML and with RLP-SPG: each samples the
newest policy and trains the reward model and the policy again, both from SFT.
Holds if each round beats the one before.
Run: python -m launch.seeds experiments/rlp/rounds.py --seeds 0 1 2 3 4
"""

import functools

from experiments import sandbox_chain, sandbox_rlp
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import rlp

Settings = sandbox_chain.Settings
COUNT = 3


def config(settings: Settings) -> Experiment:
  stages = sandbox_rlp.base_stages(settings)
  for name, retrain in (
    ('uml', sandbox_rlp.uml_stages),
    ('spg', sandbox_rlp.spg_stages),
  ):
    stages |= rlp.rounds(
      COUNT,
      samples=rlp.samples.Config(),
      retrain=functools.partial(_retrain, settings, retrain),
      learn=functools.partial(sandbox_rlp.learn_stages, settings),
      name=name,
    )
  return sandbox_chain.experiment(
    settings,
    title='RLP in rounds',
    stages=stages,
    scored_by='reward_model',
    contrasts={
      f'{name}: round {number} beats the one before': (
        f'{name}_{number}',
        f'{name}_{number - 1}' if number > 1 else 'ppo',
      )
      for name in ('uml', 'spg')
      for number in range(1, COUNT + 1)
    },
  )


def _retrain(settings, retrain, *, samples, policy, reward, name):
  del policy, reward  # They have made and scored the samples already.
  return retrain(settings, samples=samples, name=name)
