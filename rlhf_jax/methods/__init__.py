"""A paper each: its config, its stages, and whatever is only its own."""

from rlhf_jax.methods import ppo, preferences, reward_model, sft

__all__ = ['ppo', 'preferences', 'reward_model', 'sft']
