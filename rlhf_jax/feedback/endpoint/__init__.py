"""Models behind OpenAI-compatible chat endpoints, hosted or local."""

from rlhf_jax.feedback.endpoint.answers import Answer
from rlhf_jax.feedback.endpoint.chat import Chat, NobodyThereError
