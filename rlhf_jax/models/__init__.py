"""Transformers as pure functions of their parameters."""

from rlhf_jax.models import presets
from rlhf_jax.models.bottleneck import BOTTLENECK
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.heads import (
  Reading,
  last_token,
  mean_of_tokens,
  scalar_model,
  trunk_from_policy,
)
from rlhf_jax.models.lora import LoRA
from rlhf_jax.models.policy import language_model
from rlhf_jax.models.transformer import PARTITION_RULES, as_computed

__all__ = [
  'BOTTLENECK',
  'LoRA',
  'PARTITION_RULES',
  'Reading',
  'TransformerConfig',
  'as_computed',
  'language_model',
  'last_token',
  'mean_of_tokens',
  'presets',
  'scalar_model',
  'trunk_from_policy',
]
