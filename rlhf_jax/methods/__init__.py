"""A paper each: its config, its stages, and whatever is only its own."""

from rlhf_jax.methods import (
  candidates,
  cpo,
  curriculum,
  dpo,
  kto,
  orpo,
  ppo,
  preferences,
  pro,
  ranker,
  reward_model,
  rrhf,
  rso,
  sft,
  simpo,
  slic,
)

__all__ = [
  'candidates',
  'cpo',
  'curriculum',
  'dpo',
  'kto',
  'orpo',
  'ppo',
  'preferences',
  'pro',
  'ranker',
  'reward_model',
  'rrhf',
  'rso',
  'sft',
  'simpo',
  'slic',
]
