"""Does RLP get better when it is repeated? The paper stops after one round.

Rounds 1 are those of `sandbox.py`; two more follow, of RLP-UML and of RLP-SPG:
each samples the newest policy and trains the reward model and the policy again,
both from SFT. Holds if each round beats the one before.
Run: python -m launch.seeds experiments/rlp/rounds.py --seeds 0 1 2 3 4
"""

import functools

from experiments import sandbox_chain, sandbox_rlp
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import rlp

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  retrainers = {'spg': sandbox_rlp.spg_stages, 'uml': sandbox_rlp.uml_stages}
  first = {
    f'rlp_{name}': retrain(settings, name=f'reward_model_{name}')
    for name, retrain in retrainers.items()
  }
  stages = sandbox_rlp.sampled_stages(settings)
  stages |= sandbox_rlp.arms(settings, first)
  for name, retrain in retrainers.items():
    stages |= rlp.rounds(
      2,
      samples=rlp.samples.Config(),
      retrain=functools.partial(_retrain, settings, retrain),
      learn=functools.partial(sandbox_rlp.learn_stages, settings),
      earlier=1,
      policy=f'rlp_{name}',
      reward=f'reward_model_{name}',
      name=name,
    )
  return sandbox_chain.experiment(
    settings,
    title='RLP in rounds',
    stages=stages,
    scored_by='reward_model',
    contrasts={
      f'{name}: round {number} beats round {number - 1}': (
        f'{name}_{number}',
        f'{name}_2' if number == 3 else f'rlp_{name}',
      )
      for name in retrainers
      for number in (2, 3)
    },
  )


def _retrain(settings, retrain, *, samples, policy, reward, name):
  del policy, reward  # They have made and scored the samples already.
  return retrain(settings, samples=samples, name=name)
