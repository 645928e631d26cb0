"""Claim: synthetic pairs make a reward, and its policy, right more often.

Beyond what as many updates on the annotated pairs do: RLP-SPG (any sample of
the largest group preferred) against its control, by mean gold and by the share
of right answers at one penalty; both are primary, and fixed with all settings
before the seeds that judge them. Beside them who wins how often, the paper's
rule (the best scored sample), RLP-UML plain and capped, both parts together,
the control with the first model's updates, thresholds of 0 and 0.9, PPO as
other experiments have it (the last token, 0.05 a nat), and two bounds: as many
annotated pairs of the policy's own samples beside the old ones, and PPO on
gold. By penalty: `penalties.py`. With a policy in the reward model's place:
`implicit.py`. In another world: --set world=1.
Run: python -m launch.seeds experiments/rlp/bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import feedback, on_policy, rlp
from rlhf_jax import sandbox
from rlhf_jax.experiment import Experiment

Settings = on_policy.Settings


def config(settings: Settings) -> Experiment:
  retrained = on_policy.rewards(settings)
  stages = (
    on_policy.sampled_stages(settings)
    | rlp.arms(settings, retrained)
    | feedback.reward_stages(settings, name='reward_model_last')
    | rlp.learn_stages(
      settings, reward='reward_model_last', kl_coef=0.05, name='ppo_last'
    )
    | rlp.learn_stages(settings, reward=sandbox.gold, name='ppo_gold')
  )
  return on_policy.experiment(
    settings,
    title='Reward learning on policy',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      'RLP-SPG beats its control': ('rlp_spg', 'control'),
      'RLP-SPG beats PPO on the last token': ('rlp_spg', 'ppo_last'),
    }
    | {
      f'{better} beats PPO': (better, 'ppo')
      for better in (*retrained, 'ppo_gold')
    },
  )
