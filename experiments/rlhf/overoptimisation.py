"""Claim: pushed hard, the score rises while gold turns over (Gao et al. 2022).

The chain of `sandbox.py` with hardly any KL penalty and many more rounds of
PPO; SFT, preferences and reward model are that experiment's own. Holds if,
from the best stretch of PPO to its end, gold falls beyond chance and the
learnt reward does not. See reward_by_kl.png in its results.
Run: python -m launch.train experiments/rlhf/overoptimisation.py --set seed=1
"""

import dataclasses

from experiments.rlhf import sandbox
from rlhf_jax.experiment import Experiment
from rlhf_jax.types.rules import Count, NonNegative
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox.Settings):
  """Those of the sandbox chain, but for how long and how freely PPO runs."""

  ppo_steps: Count = 200
  kl_coef: NonNegative = 0.001


def config(settings: Settings) -> Experiment:
  return dataclasses.replace(
    sandbox.config(settings), title='Over-optimisation in the sandbox'
  )
