"""Claim: a reward retrained on the policy's samples gives a better policy.

RLP whole: SFT, preferences, reward model, PPO, ten samples of PPO's policy to
each prompt, then the reward model again, with two views of each prompt beside
(RLP-UML) and with preferences of what samples agree on (RLP-SPG), and PPO again
from each (Lang et al. 2024, table 2). Holds if each beats PPO, judged by gold.
Run: python -m launch.train experiments/rlp/published.py --set seed=1
Another method in PPO's place, in steps 3 and 5:
  --set rl=experiments.sandbox_chain.rloo_stages
"""

import dataclasses
from collections.abc import Callable

from experiments import sandbox_chain
from experiments.sandbox_chain import rlp
from rlhf_jax.experiment import Experiment, PolicyVariant
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox_chain.Settings):
  """What is set most often.

  Attributes:
    rl: what learns from a reward model, a function of `sandbox_chain`.
  """

  rl: Callable[[sandbox_chain.Settings], sandbox_chain.Stages] = (
    rlp.learn_stages
  )


def config(settings: Settings) -> Experiment:
  (policy,) = learnt = settings.rl(settings)
  retrained = {
    'rlp_uml': rlp.uml_stages(settings, name='reward_model_uml'),
    'rlp_spg': rlp.spg_stages(settings, name='reward_model_spg'),
  }
  stages = (
    sandbox_chain.feedback_stages(settings)
    | learnt
    | rlp.sample_stages(settings, policy=policy)
    | rlp.arms(settings, retrained, learn=settings.rl)
  )
  return sandbox_chain.experiment(
    settings,
    title='RLP in the sandbox',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    variants={'best_of_n': PolicyVariant(policy='sft', best_of=16)},
    contrasts={
      f'RLP-UML beats {policy.upper()}': ('rlp_uml', policy),
      f'RLP-SPG beats {policy.upper()}': ('rlp_spg', policy),
      'RLP-SPG beats best of n': ('rlp_spg', 'best_of_n'),
    },
  )
