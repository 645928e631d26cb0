"""Beyond the paper: can RLP-SPG make a policy right and keep its manner?

Its policies are right more often and lose on manner, so that they hardly win.
Each arm is a cheap way out (`sandbox_chain/manner.py`), on the same samples and
the same pairs where it has any: synthetic pairs of less weight, or that differ
in nothing but the answer; the scale of the first reward matched on responses of
one answer; the first reward beside the retrained one; and a policy that is read
as a reward. Chosen is by mean gold and by wins over PPO, on the validation
prompts with seed 100, of which no claim is made, and all that was tried is
listed; the best joins the seeds of `penalties.py`. Where annotations are few:
  --set pairs=1024 --set retrained_steps=256
Run: python -m launch.train experiments/rlp/manner.py
"""

import dataclasses
from collections.abc import Callable

from experiments import sandbox_chain
from experiments.sandbox_chain import manner, on_policy, rlp
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.types.rules import Seed
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(on_policy.Settings):
  """As of all of RLP's."""

  seed: Seed = 100
  measure: Callable[..., Evaluation] = sandbox_chain.validation


def config(settings: Settings) -> Experiment:
  retrained, combined = manner.rewards(settings), manner.combined(settings)
  stages = (
    on_policy.sampled_stages(settings)
    | rlp.arms(settings, retrained)
    | manner.implicit_stages(settings)
  )
  for policy, reward in combined.items():
    stages |= rlp.learn_stages(settings, reward=reward, name=policy)
  arms = (*retrained, 'implicit_spg', 'implicit_control', *combined)
  return on_policy.experiment(
    settings,
    title='RLP-SPG that keeps the manner',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={f'{arm} beats PPO': (arm, 'ppo') for arm in arms},
  )
