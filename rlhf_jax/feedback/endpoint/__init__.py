"""Models behind OpenAI-compatible chat endpoints, hosted or local."""

from rlhf_jax.feedback.endpoint.chat import Chat
