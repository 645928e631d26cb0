"""The base parameters of LoRA adapters: their checksums, and joining the two.

A stage with adapters saves the adapters alone, and in `base.json` what
identifies the frozen parameters that they adapt.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.models import huggingface, lora, trunk_from_policy
from rlhf_jax.stages import POLICIES
from rlhf_jax.training import checkpoints
from rlhf_jax.training.state import whole
from rlhf_jax.types import Params


def described(base: Params) -> dict[str, Any]:
  """What identifies frozen base parameters, as JSON.

  Returns:
    {'scales': [L] of each adapter by its path, 'dtype': of what they adapt,
    'sums': checksums of what they adapt, by role}.
  """
  flat = traverse_util.flatten_dict(base)
  scales = {p: x for p, x in flat.items() if lora.SCALE.search('/'.join(p))}
  adapted = {p: x for p, x in flat.items() if p not in scales}
  roles = traverse_util.unflatten_dict(adapted)
  return {
    'scales': {
      '/'.join(path[:-1]): np.asarray(scale).tolist()
      for path, scale in scales.items()
    },
    'dtype': str(next(iter(adapted.values())).dtype),
    'sums': {role: checkpoints.checksum(x) for role, x in roles.items()},
  }


def joined(
  trained: Params,
  role: str,
  said: Mapping[str, Any],
  original: pathlib.Path,
  mesh: Mesh,
) -> Params:
  """A role's parameters, adapters and all.

  Args:
    trained: what a stage trained of them.
    role: of the stage.
    said: of its base, as `described`.
    original: the folder of transformers that the base was read from.
    mesh: where they are placed.

  Raises:
    ExperimentError: it was not: an earlier stage trained the base. Or an
      earlier version of the library, of which that cannot be told.
  """
  if 'sums' not in said:
    raise ExperimentError(
      'the adapters were trained by an earlier version of rlhf_jax, whose '
      'checksums of what they adapt were others; train them again'
    )
  _, params = huggingface.read(original, mesh, param_dtype=said['dtype'])
  if role not in POLICIES:
    scores = huggingface.open_folder(original).role == 'reward'
    params = {'trunk': params['trunk'] if scores else trunk_from_policy(params)}
  if checkpoints.checksum(params) != said['sums'][role]:
    raise ExperimentError(
      f'the adapters were trained on other parameters than those of '
      f'{original}; name the folder that their stage started from, or export '
      'with --export of the run'
    )
  scales = {
    (*path.split('/')[1:], 'scale'): np.asarray(scale, np.float32)
    for path, scale in said['scales'].items()
    if path.startswith(f'{role}/')
  }
  base = whole(traverse_util.unflatten_dict(scales), {'base': params})
  return whole(trained, {'base': base})
