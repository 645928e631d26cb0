"""Claim: DPO hardly needs tuning, PPO does (Rafailov et al. 2023).

Each method at its own setting and with the learning rate and the weight of the
KL each three times smaller and larger, one at a time. Holds if DPO's win rates
over SFT spread less than PPO's; their standard deviation by seed:
`python -m experiments.readings.dpo_sensitivity 0 1 2`.
Run: python -m launch.seeds experiments/dpo/sensitivity.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import DPO_RATE, dpo_stages, ppo_stages
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
FACTORS = {'third': 1 / 3, 'thrice': 3.0}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= ppo_stages(settings) | dpo_stages(settings)
  for word, factor in FACTORS.items():
    stages |= ppo_stages(
      settings, learning_rate=1e-3 * factor, name=f'ppo_rate_{word}'
    )
    stages |= ppo_stages(
      settings, kl_coef=settings.kl_coef * factor, name=f'ppo_kl_coef_{word}'
    )
    stages |= dpo_stages(
      settings, learning_rate=DPO_RATE * factor, name=f'dpo_rate_{word}'
    )
    stages |= dpo_stages(settings, beta=0.1 * factor, name=f'dpo_beta_{word}')
  return sandbox_chain.experiment(
    settings,
    title='How much DPO and PPO need tuning',
    stages=stages,
    contrasts={
      'DPO beats PPO at its best rate': ('dpo', 'ppo_rate_third'),
    }
    | {
      f'DPO beats PPO, {of} {word}': (f'dpo_{dpo}_{word}', f'ppo_{ppo}_{word}')
      for word in FACTORS
      for of, dpo, ppo in (('rate', 'rate', 'rate'), ('KL', 'beta', 'kl_coef'))
    },
  )
