"""What sandbox experiments share: SFT, preferences, reward model, and on.

Each function makes stages from an experiment's settings. What more it takes
(`placed`) are the stage's name, its data and the stages that it rests on, where
they are not the method's own. Stages are addressed by what they are made of, so
experiments that take these from here train them once.
"""

from experiments.sandbox_chain.chain import (
  ANSWERS,
  CONDITIONS,
  Settings,
  Stages,
  experiment,
  half_held_out,
  held_out,
  validation,
)
from experiments.sandbox_chain.feedback import (
  feedback_stages,
  preference_stages,
  reward_stages,
  sft_stages,
)
from experiments.sandbox_chain.lists import (
  candidate_stages,
  pro_stages,
  rrhf_stages,
)
from experiments.sandbox_chain.measures import ceilings, reward_measures
from experiments.sandbox_chain.pairs import (
  DPO_RATE,
  dpo_stages,
  slic_stages,
  tuned,
)
from experiments.sandbox_chain.rl import (
  ppo_stages,
  reinforce_plus_plus_stages,
  reinforce_stages,
  remax_stages,
  rloo_stages,
  tuned_ppo_stages,
)
from experiments.sandbox_chain.rl_groups import (
  dapo_stages,
  dr_grpo_stages,
  grpo_stages,
  gspo_stages,
)

__all__ = [
  'ANSWERS',
  'CONDITIONS',
  'DPO_RATE',
  'Settings',
  'Stages',
  'candidate_stages',
  'ceilings',
  'dapo_stages',
  'dpo_stages',
  'dr_grpo_stages',
  'experiment',
  'feedback_stages',
  'grpo_stages',
  'gspo_stages',
  'half_held_out',
  'held_out',
  'ppo_stages',
  'preference_stages',
  'pro_stages',
  'reinforce_plus_plus_stages',
  'reinforce_stages',
  'remax_stages',
  'reward_measures',
  'reward_stages',
  'rloo_stages',
  'rrhf_stages',
  'sft_stages',
  'slic_stages',
  'tuned',
  'tuned_ppo_stages',
  'validation',
]
