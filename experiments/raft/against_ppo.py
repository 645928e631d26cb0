"""Claim: RAFT does as well as PPO by mere imitation (Dong et al. 2023).

RAFT keeps the best of eight responses to each of 128 prompts a stage: as many
stages as give PPO's number of responses, three times as many, and as few that
keep the best eighth of all instead. Holds if RAFT's win rate against PPO is not
below 0.5. Reward at the same KL along the training of each:
`python -m experiments.readings.raft_equal_kl 0 1 2`.
Run: python -m launch.seeds experiments/raft/against_ppo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain.choosing import raft_stages
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import raft

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='RAFT against PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.tuned_ppo_stages(settings)
    | raft_stages(settings)
    | raft_stages(settings, times=3, name='raft_longer')
    | raft_stages(settings, select=raft.overall, name='raft_overall'),
    contrasts={
      'RAFT beats PPO at equal responses': ('raft', 'ppo'),
      'RAFT beats PPO, with three times the responses': ('raft_longer', 'ppo'),
      'three times the stages beat one': ('raft_longer', 'raft'),
      'the best of each prompt beat the best of all': ('raft', 'raft_overall'),
    },
  )
