"""What RLP brings at one and the same KL: each arm under three penalties.

PPO, RLP-SPG, its control and the capped RLP-UML of `bench.py`, whose reward
models and settings these are, and RLP-SPG on the first reward's scale of
responses of one answer, which `manner.py` chose; at penalties of 0.05, 0.1 and
0.2 a nat. What holds at equal KL is read between these, along their curves of
gold by KL.
Run: python -m launch.seeds experiments/rlp/penalties.py
  --seeds 13 14 15 16 17 18 19 20 21 22
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import manner, on_policy, rlp
from rlhf_jax.experiment import Experiment

Settings = on_policy.Settings
PENALTIES = (0.05, 0.1, 0.2)
ARMS = ('rlp_spg', 'spg_scaled_alike', 'control', 'uml_capped')
BETTER = {'RLP-SPG': 'rlp_spg', 'Scaled alike': 'spg_scaled_alike'}


def policy_of(arm: str, penalty: float) -> str:
  """The policy of an arm that is trained under this penalty."""
  return f'{arm}_{round(100 * penalty):02d}'


def config(settings: Settings) -> Experiment:
  rewards = manner.rewards(settings) | on_policy.rewards(settings)
  retrained = {arm: rewards[arm] for arm in ARMS}
  first = on_policy.feedback_stages(settings)
  stages = first | on_policy.sample_stages(settings)
  for arm, of_reward in ({'ppo': first} | retrained).items():
    *_, reward = of_reward
    stages |= of_reward
    for penalty in PENALTIES:
      stages |= rlp.learn_stages(
        settings, reward=reward, kl_coef=penalty, name=policy_of(arm, penalty)
      )
  return on_policy.experiment(
    settings,
    title='RLP by penalty',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      f'{named} beats {worse} at {penalty}': (
        policy_of(better, penalty),
        policy_of(worse, penalty),
      )
      for penalty in PENALTIES
      for named, better in BETTER.items()
      for worse in ('ppo', 'control', 'uml_capped')
    },
  )
