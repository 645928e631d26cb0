"""Parameters and a batch to new parameters."""

from rlhf_jax.learners import likelihood, policy_gradient, reward

__all__ = ['likelihood', 'policy_gradient', 'reward']
