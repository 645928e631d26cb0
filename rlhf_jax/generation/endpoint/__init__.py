"""Models behind OpenAI-compatible chat endpoints, hosted or local."""

from rlhf_jax.generation.endpoint.chat import Chat

__all__ = ['Chat']
