"""Models of transformers: folders of config.json and safetensors, both ways."""

from rlhf_jax.models.huggingface.reading import (
  config_of,
  fingerprint,
  open_folder,
  read,
)
from rlhf_jax.models.huggingface.safetensors import CheckpointError
from rlhf_jax.models.huggingface.writing import write

__all__ = [
  'CheckpointError',
  'config_of',
  'fingerprint',
  'open_folder',
  'read',
  'write',
]
