"""Claim: of what needs no new labels, agreement alone says what is right.

RLP-SPG of `bench.py` beside what came before and after it: the best and the
worst of 2, 8 and 64 samples by the first reward (West-of-N), the annotated
pairs weighed towards the sampled policy (OCRM), a bottleneck in the reward's
path (InfoRM, as in its paper and as in its code), four reward models as one, by
their mean weights (WARM) and by their mean scores, and agreement without a
reward between (ScPO), on the samples that RLP-SPG has and on SFT's. Holds if
RLP-SPG's reward model is right on more minimal pairs of the sampled policy than
each other one, in the mean over seeds with its interval, and its policy has as
much gold at equal KL or more.
Run: python -m launch.seeds experiments/rlp/reward_bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import on_policy, rewards, rlp
from rlhf_jax.experiment import Ensemble, Experiment
from rlhf_jax.kernels import ensembles

Settings = on_policy.Settings
ENSEMBLE = Ensemble(tuple(rewards.MEMBERS), ensembles.mean)


def config(settings: Settings) -> Experiment:
  retrained = rewards.rewards(settings)
  stages = (
    on_policy.sampled_stages(settings)
    | rlp.arms(settings, retrained)
    | rlp.learn_stages(settings, reward=ENSEMBLE, name='ensemble')
    | rewards.voted_stages(settings)
  )
  others = ('ppo', *retrained, 'ensemble', 'scpo', 'scpo_sft')
  return on_policy.experiment(
    settings,
    title='What mends a reward without new labels',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={
      f'RLP-SPG beats {other}': ('rlp_spg', other)
      for other in others
      if other != 'rlp_spg'
    },
  )
