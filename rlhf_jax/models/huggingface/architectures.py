"""All architectures that are known; the first that fits is what is written."""

from typing import Any

from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import gemma, gpt, llama
from rlhf_jax.models.huggingface.architecture import Architecture
from rlhf_jax.models.huggingface.fields import Json
from rlhf_jax.models.huggingface.safetensors import CheckpointError

KNOWN = (
  llama.LLAMA,
  llama.MISTRAL,
  llama.QWEN2,
  llama.QWEN3,
  gemma.GEMMA,
  gemma.GEMMA2,
  gemma.GEMMA3,
  llama.PHI3,
  gpt.GPT2,
  gpt.GPT_NEOX,
  gpt.OPT,
)


def of_json(json: Json) -> Architecture:
  """The architecture that config.json names.

  Raises:
    CheckpointError: it is none of ours, or its tensors are quantised.
  """
  kind = json.get('model_type')
  found = next((a for a in KNOWN if a.kind == kind), None)
  if found is None:
    raise CheckpointError(
      f'the architecture {kind!r} is not known; there are '
      f'{", ".join(a.kind for a in KNOWN)}'
    )
  if json.get('quantization_config'):
    raise CheckpointError(
      'its tensors are quantised; take the model that it was made from'
    )
  return found


def of_config(config: TransformerConfig) -> tuple[Architecture, dict[str, Any]]:
  """The first architecture that a config can be said as, and its config.json.

  Raises:
    CheckpointError: there is none.
  """
  for architecture in KNOWN:
    json = architecture.json_of(config)
    if json is not None:
      return architecture, json
  raise CheckpointError(
    'no architecture of transformers computes what this config says; export '
    'needs one of ' + ', '.join(a.kind for a in KNOWN)
  )
