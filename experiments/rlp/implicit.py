"""Does RLP-SPG add to a reward that is read from a policy?

DPO's policy read as a reward (Rafailov et al. 2023) learns from the same pairs
what no head on the same trunk does; PPO on it is nearly DPO again. Its samples
are voted on as in `bench.py`, the pairs train that policy again, with the
annotated ones (implicit_spg), and as its control without (implicit_control).
PPO learns from each; the policies themselves are DPO, without a reward between.
Holds if RLP-SPG has more gold and is right more often than the control.
Run: python -m launch.seeds experiments/rlp/implicit.py
  --seeds 13 14 15 16 17 18 19 20 21 22
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_chain import on_policy, rlp
from rlhf_jax.experiment import Experiment

Settings = on_policy.Settings
UPDATES = 512  # Twice over annotated and synthetic pairs, 32 at a time.


def config(settings: Settings) -> Experiment:
  learn = functools.partial(rlp.learn_stages, **on_policy.ON_IMPLICIT)
  reward = functools.partial(on_policy.implicit, settings)
  pairs = on_policy.pair_stages(
    settings, samples='implicit_samples', name='implicit_pairs'
  )
  rewards = on_policy.implicit_stages(
    settings, *pairs, steps=UPDATES, name='implicit_spg'
  ) | on_policy.implicit_stages(
    settings, steps=UPDATES, name='implicit_control'
  )
  stages = (
    on_policy.feedback_stages(settings)
    | rlp.learn_stages(settings)
    | on_policy.implicit_stages(settings, name='implicit')
    | on_policy.sample_stages(
      settings, reward=reward('implicit'), name='implicit_samples', learn=learn
    )
    | pairs
    | rewards
  )
  for policy in ('implicit', *rewards):
    stages |= learn(settings, reward=reward(policy), name=f'ppo_{policy}')
  spg, control = 'ppo_implicit_spg', 'ppo_implicit_control'
  return on_policy.experiment(
    settings,
    title='RLP on a reward that is read from a policy',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      'PPO on RLP-SPG beats its control': (spg, control),
      'PPO on RLP-SPG beats the first': (spg, 'ppo_implicit'),
      'DPO on RLP-SPG beats its control': ('implicit_spg', 'implicit_control'),
      'the implicit reward beats the head': ('ppo_implicit', 'ppo'),
    },
  )
