"""Claim: a Decision Transformer beats filtering and regression, and is level
with PPO, without generating anything (Hu et al. 2023, arXiv 2308.12050).

One pool of demonstrations and preference responses in equal parts, scored by
the reward model; from one SFT policy, with as many updates each: on what scores
above the mean, on each prompt's best, on all weighted by exp(z), and on all
with z written before the response, also with SFT's samples as 0.4 of the pool.
The first version of the paper says better than PPO, the second comparable.
Holds if the Decision Transformer, asked for `target`, wins against the other
offline arms, its interval against PPO reaches one half, and generation adds
nothing. What it does when asked for other rewards:
`python -m experiments.readings.offline_rl_obedience 0 1 2`.
Run: python -m launch.seeds experiments/offline_rl/against_ppo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import offline
from rlhf_jax.experiment import Experiment

Settings = offline.Settings
OTHER_TARGETS = (-1.0, 0.0, 1.0, 2.0, 5.0)
CONDITIONED = ('dt', 'dt_generated')


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='Offline RLHF against PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.tuned_ppo_stages(settings)
    | offline.labelled_stages(settings)
    | offline.filtered(settings)
    | offline.best(settings)
    | offline.weighted(settings)
    | offline.conditioned(settings)
    | offline.conditioned(
      settings, data=offline.GENERATED, name='dt_generated'
    ),
    variants={p: offline.asking(p, settings.target) for p in CONDITIONED}
    | {f'dt_at_{z:g}': offline.asking('dt', z) for z in OTHER_TARGETS},
    addition=sandbox_chain.CONDITIONS,
    contrasts={
      'DT beats RWR': ('dt', 'rwr'),
      'DT beats filtering': ('dt', 'filtered'),
      "DT beats each prompt's best": ('dt', 'best'),
      'DT beats PPO': ('dt', 'ppo'),
      'RWR beats PPO': ('rwr', 'ppo'),
      'filtering beats PPO': ('filtered', 'ppo'),
      'DT with generation beats DT without': ('dt_generated', 'dt'),
      'RWR beats filtering': ('rwr', 'filtered'),
      'DT at its target beats DT at the mean': ('dt', 'dt_at_0'),
    }
    | {
      f'{name} beats SFT': (name, 'sft')
      for name in ('filtered', 'best', 'rwr', *CONDITIONED, 'ppo')
    },
  )
