"""Reading a folder of transformers straight onto a mesh, tensor by tensor.

On a host there is never more than one tensor of a file: it is mapped to memory,
each device's part of it is copied to where the rules say, and its pages are
freed before the next.
"""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, TextIO

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlhf_jax import progress, sharding
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import (
  architectures,
  layouts,
  mapping,
  safetensors,
)
from rlhf_jax.models.huggingface.architecture import Architecture
from rlhf_jax.models.huggingface.folders import CONFIG
from rlhf_jax.models.huggingface.safetensors import (
  CheckpointError,
  StoredTensor,
)
from rlhf_jax.models.transformer import PARTITION_RULES
from rlhf_jax.types import Params


class Opened(NamedTuple):
  """What a folder holds, before any tensor is read.

  Attributes:
    architecture: its table.
    config: of the model.
    scores: of a reward model, how many; None for a policy.
    stored: tensors by name, in the order of their bytes.
    names: of the expected tensor by the name in the folder.
    tensors: expected, by name.
  """

  architecture: Architecture
  config: TransformerConfig
  scores: int | None
  stored: Mapping[str, StoredTensor]
  names: Mapping[str, str]
  tensors: Mapping[str, mapping.Tensor]

  @property
  def role(self) -> str:
    """That its model plays: 'policy' or 'reward'."""
    return _role(self.scores)


def config_of(folder: str | pathlib.Path) -> TransformerConfig:
  """The config of the model of a folder.

  Parameters are bfloat16 where the folder says that its tensors are; otherwise
  they are float32, which holds float16 exactly.

  Raises:
    CheckpointError: config.json is not there, damaged, or of another kind.
  """
  return _config(pathlib.Path(folder))[1]


def longest(folder: str | pathlib.Path) -> int | None:
  """How many tokens a row was to have at most, as config.json says; or None.

  A rotation may turn further: what the model computes there, it was not
  trained on.

  Raises:
    CheckpointError: as of `config_of`.
  """
  folder = pathlib.Path(folder)
  said = safetensors.read_json(folder / CONFIG).get('max_position_embeddings')
  bounds = [config_of(folder).longest, said if isinstance(said, int) else None]
  return min((bound for bound in bounds if bound), default=None)


def open_folder(folder: str | pathlib.Path) -> Opened:
  """Checks a folder: its config, the names and shapes of all tensors, its ids.

  Raises:
    CheckpointError: saying what is wrong with which file or tensor.
  """
  folder = pathlib.Path(folder)
  architecture, config = _config(folder)
  _check_tokenizer(folder, config)
  stored = safetensors.find(folder)
  score = stored.get(mapping.SCORE)
  scores = score.shape[0] if score and score.shape else None
  tensors = mapping.tensors(architecture, config, scores)
  shapes = {name: one.shape for name, one in stored.items()}
  names = mapping.matched(architecture, tensors, shapes, str(folder))
  safetensors.check_types(stored[name] for name in names)
  return Opened(architecture, config, scores, stored, names, tensors)


def read(
  folder: str | pathlib.Path,
  mesh: Mesh | None = None,
  *,
  param_dtype: str | None = None,
  cast: Callable[[Params], Params] = lambda params: params,
  out: TextIO = sys.stderr,
) -> tuple[TransformerConfig, Params]:
  """The config and the parameters of a folder, placed by `PARTITION_RULES`.

  Those of a policy are as `language_model(config).init` lays them out; those of
  a folder with a read-out `score.weight` are a reward model's, as of
  `scalar_model(config)`, its bias 0.

  Args:
    folder: with config.json and safetensors.
    mesh: where to; all devices by default.
    param_dtype: of the parameters; None is the folder's, see `config_of`.
    cast: gives some of them another type, in which they are read at once.
    out: where progress is shown.

  Raises:
    CheckpointError: saying what is wrong with which file or tensor.
  """
  opened = open_folder(folder)
  config = _of_dtype(opened.config, param_dtype)
  mesh = sharding.make_mesh() if mesh is None else mesh
  like = jax.eval_shape(cast, mapping.parameters(config, opened.scores))
  placed = sharding.shardings(like, PARTITION_RULES, mesh)
  like, placed = (flatten_dict(tree, sep='/') for tree in (like, placed))
  size = layouts.sizes(config, opened.scores or 1)
  tensors = {name: opened.tensors[full] for name, full in opened.names.items()}
  wanted = [
    one
    for name, one in opened.stored.items()
    if name in tensors and not tensors[name].optional
  ]
  params = {}
  for stored, array in progress.track(
    safetensors.each(wanted), 'reading', len(wanted), out=out, unit='tensor'
  ):
    for piece in tensors[stored.name].pieces:
      leaf = piece.leaf
      params[leaf] = _filled(
        params.get(leaf),
        piece.at,
        layouts.view(array, piece.pattern, size),
        like[leaf],
        placed[leaf],
      )
  for leaf, shape in like.items():
    if leaf not in params:  # The bias of a head, which no file has.
      params[leaf] = _zeros(shape, placed[leaf])
  return config, unflatten_dict(params, sep='/')


def abstract_params(
  folder: str | pathlib.Path, *, param_dtype: str | None = None
) -> Params:
  """{'policy' or 'reward': shapes and types of the params of `read`}.

  Raises:
    CheckpointError: saying what is wrong with which file or tensor.
  """
  opened = open_folder(folder)
  config = _of_dtype(opened.config, param_dtype)
  return {opened.role: mapping.parameters(config, opened.scores)}


def described_params(
  folder: str | pathlib.Path, *, param_dtype: str | None = None
) -> Params:
  """As `abstract_params`, by config.json alone: no tensors need to be there.

  Of a classifier of sequences, a reward model's with one score.

  Raises:
    CheckpointError: config.json is not there, damaged, or of another kind.
  """
  folder = pathlib.Path(folder)
  _, config = _config(folder)
  kinds = safetensors.read_json(folder / CONFIG).get('architectures') or ['']
  scores = 1 if kinds[0].endswith('ForSequenceClassification') else None
  config = _of_dtype(config, param_dtype)
  return {_role(scores): mapping.parameters(config, scores)}


def _role(scores):
  return 'policy' if scores is None else 'reward'


def _of_dtype(config, param_dtype):
  if param_dtype is None:
    return config
  return dataclasses.replace(config, param_dtype=param_dtype)


def _filled(stack, at, view, like, placed):
  """A parameter on the devices, of which a part is the view's.

  Args:
    stack: what was filled before; None if nothing was.
    at: of each axis of the parameter, which place is filled; None fills all.
    view: the part, a view of a tensor of a file.
    like: shape and type of the parameter.
    placed: where it lies.
  """
  fixed = tuple(axis for axis, i in enumerate(at) if i is not None)
  own = placed
  if fixed:
    spec = (*placed.spec, *(None,) * (len(at) - len(placed.spec)))
    left = [axis for axis, i in zip(spec, at, strict=True) if i is None]
    own = NamedSharding(placed.mesh, PartitionSpec(*left))
  part = jax.make_array_from_callback(
    view.shape, own, functools.partial(_copy, view, like.dtype)
  )
  if fixed:
    stack = _zeros(like, placed) if stack is None else stack
    part = _put(placed, fixed)(stack, part, tuple(i or 0 for i in at))
  return jax.block_until_ready(part)


def _copy(view, dtype, index):
  return np.array(view[index], dtype=dtype, order='C')


def _zeros(like, placed):
  make = functools.partial(jnp.zeros, like.shape, like.dtype)
  return jax.jit(make, out_shardings=placed)()


@functools.lru_cache
def _put(placed, axes):
  """Writes a part into a stack, in place."""

  def put(stack, part, starts):
    part = jnp.expand_dims(part, axes)
    return jax.lax.dynamic_update_slice(stack, part, starts)

  return jax.jit(put, donate_argnums=0, out_shardings=placed)


def _config(folder):
  found = safetensors.read_json(folder / CONFIG)
  try:
    architecture = architectures.of_json(found)
    config = architecture.read(found)
  except (ValueError, TypeError, ArithmeticError) as error:
    said = str(error).rstrip('.')
    raise CheckpointError(
      f'{folder / CONFIG}: {said}; give a folder of another model, or mend it'
    ) from error
  dtype = found.get('dtype') or found.get('torch_dtype')
  if dtype == 'bfloat16':
    config = dataclasses.replace(config, param_dtype='bfloat16')
  return architecture, config


def _check_tokenizer(folder, config):
  """Refuses a tokenizer with ids that the model has no rows for."""
  path = folder / 'tokenizer.json'
  if not path.is_file():
    return
  found = safetensors.read_json(path)
  try:
    vocabulary = found['model']['vocab']
    named = isinstance(vocabulary, dict)  # Or in the order of the ids.
    ids = vocabulary.values() if named else range(len(vocabulary))
    added = (one['id'] for one in found.get('added_tokens') or ())
    largest = max([-1, *ids, *added])
  except (KeyError, TypeError) as error:
    raise CheckpointError(
      f'{path} has no vocabulary of tokens and ids; {safetensors.AGAIN}'
    ) from error
  if largest >= config.vocab_size:
    raise CheckpointError(
      f'{path} has tokens up to id {largest}, and {folder / CONFIG} says '
      f'vocab_size {config.vocab_size}; take the tokenizer of this model'
    )
