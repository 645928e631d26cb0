"""RLP in one run: a reward retrained on samples, its control and its bounds.

Pretraining on what is right, SFT, preferences, a reward model, PPO, thirty of
its samples to each prompt; the reward model again with pairs of what these
agree on (RLP-SPG, Lang et al. 2024), any of the largest group preferred, and as
in the paper, the best scored; as many updates on the old pairs; PPO from each,
and on gold. Half of `bench.py`, whose seeds decide. RLP-UML: `published.py`.
Run: python -m launch.train experiments/rlp/sandbox.py --set seed=1
"""

import dataclasses
from collections.abc import Callable

from experiments import sandbox_chain
from experiments.sandbox_chain import on_policy, rlp
from rlhf_jax import sandbox
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods.rlp import samples
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(on_policy.Settings):
  """What is set most often: about half of the bench's."""

  pretraining_steps: Count = 800
  sft_steps: Count = 200
  ppo_steps: Count = 40
  retrained_steps: Count = 448
  measure: Callable[..., Evaluation] = sandbox_chain.half_held_out


def config(settings: Settings) -> Experiment:
  rewards = on_policy.rewards(settings)
  retrained = {arm: rewards[arm] for arm in ('control', 'rlp_spg', 'spg_best')}
  stages = (
    on_policy.packed(on_policy.feedback_stages(settings))
    | rlp.learn_stages(settings)
    | samples.stages(samples.Config(count=on_policy.answered(settings)))
    | rlp.arms(settings, retrained)
    | rlp.learn_stages(settings, reward=sandbox.gold, name='ppo_gold')
  )
  made = on_policy.experiment(
    settings,
    title='Reward learning on policy',
    background=on_policy.TEN_SEEDS,
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      'RLP-SPG beats its control': ('rlp_spg', 'control'),
      'RLP-SPG beats PPO': ('rlp_spg', 'ppo'),
      "the paper's RLP-SPG beats PPO": ('spg_best', 'ppo'),
      'PPO on gold beats PPO': ('ppo_gold', 'ppo'),
    },
  )
  return on_policy.read_once(made)
