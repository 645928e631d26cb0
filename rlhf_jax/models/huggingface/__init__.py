"""Models of transformers: folders of config.json and safetensors, both ways."""

from rlhf_jax.models.huggingface import peft
from rlhf_jax.models.huggingface.folder_reading import (
  abstract_params,
  config_of,
  described_params,
  longest,
  open_folder,
  read,
)
from rlhf_jax.models.huggingface.folder_writing import write
from rlhf_jax.models.huggingface.folders import fingerprint, is_folder
from rlhf_jax.models.huggingface.safetensors import CheckpointError

__all__ = [
  'CheckpointError',
  'abstract_params',
  'config_of',
  'described_params',
  'fingerprint',
  'is_folder',
  'longest',
  'open_folder',
  'peft',
  'read',
  'write',
]
