"""Claim: PPO against a learnt reward beats SFT (Ouyang et al. 2022, fig. 1).

SFT, preferences, reward model, PPO, end to end in the sandbox. Holds if the
95 % interval of PPO's win rate over SFT lies above 0.5, judged by gold.
Run: python -m launch.train experiments/rlhf/sandbox.py --set seed=1
Another method in PPO's place, and nothing else changed:
  --set rl=experiments.sandbox_chain.rloo_stages
"""

import dataclasses
from collections.abc import Callable

from experiments import sandbox_chain
from rlhf_jax.experiment import Experiment
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox_chain.Settings):
  """What is set most often.

  Attributes:
    rl: what learns from the reward model, a function of `sandbox_chain`; those
      there give 128 responses a round.
  """

  rl: Callable[[sandbox_chain.Settings], sandbox_chain.Stages] = (
    sandbox_chain.ppo_stages
  )


def config(settings: Settings) -> Experiment:
  learnt = settings.rl(settings)
  (name,) = learnt
  stages = sandbox_chain.feedback_stages(settings) | learnt
  # What others start from: its optimizer's state stays, to be looked at.
  stages['sft'] = stages['sft']._replace(keep_checkpoint=True)
  return sandbox_chain.experiment(
    settings,
    title='RLHF in the sandbox',
    stages=stages,
    contrasts={f'{name.upper()} beats SFT': (name, 'sft')},
  )
