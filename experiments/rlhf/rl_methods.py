"""Claim: without a critic, group baselines do as well as PPO.

One SFT policy, one reward model, and each method in PPO's place with the same
40 rounds of 128 responses: REINFORCE, REINFORCE++, RLOO (Ahmadian et al. 2024),
GRPO (Shao et al. 2024), Dr. GRPO, GSPO, DAPO; ReMax is in remax/against_ppo.py.
Those with groups ask 32 prompts four times. Holds for a method if the 95 %
interval of its win rate against PPO reaches one half.
Run: python -m launch.seeds experiments/rlhf/rl_methods.py --seeds 0 1 2
One of them alone, in the chain of sandbox.py:
  python -m launch.train experiments/rlhf/sandbox.py \\
    --set rl=experiments.sandbox_chain.rloo_stages
"""

from experiments import sandbox_chain
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
METHODS = {
  'reinforce': sandbox_chain.reinforce_stages,
  'reinforce_plus_plus': sandbox_chain.reinforce_plus_plus_stages,
  'rloo': sandbox_chain.rloo_stages,
  'grpo': sandbox_chain.grpo_stages,
  'dr_grpo': sandbox_chain.dr_grpo_stages,
  'gspo': sandbox_chain.gspo_stages,
  'dapo': sandbox_chain.dapo_stages,
}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_chain.tuned_ppo_stages(settings)
  for method in METHODS.values():
    stages |= method(settings)
  contrasts = {f'{name} beats PPO': (name, 'ppo') for name in METHODS}
  contrasts['RLOO beats REINFORCE'] = ('rloo', 'reinforce')
  return sandbox_chain.experiment(
    settings,
    title='Methods of reinforcement learning in the sandbox',
    stages=stages,
    contrasts=contrasts,
  )
