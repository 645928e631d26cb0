"""Transformers as pure functions of their parameters."""

from rlhf_jax.models import presets
from rlhf_jax.models.bottleneck import BOTTLENECK
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.heads import scalar_model, trunk_from_policy
from rlhf_jax.models.lora import LoRA
from rlhf_jax.models.transformer import PARTITION_RULES, language_model

__all__ = [
  'BOTTLENECK',
  'LoRA',
  'PARTITION_RULES',
  'TransformerConfig',
  'language_model',
  'presets',
  'scalar_model',
  'trunk_from_policy',
]
