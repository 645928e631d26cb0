"""Writing parameters as a folder that transformers loads."""

import contextlib
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jax.sharding import NamedSharding, PartitionSpec

from rlhf_jax import progress
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import (
  architectures,
  fields,
  folder_reading,
  folders,
  layouts,
  mapping,
  safetensors,
)
from rlhf_jax.models.huggingface.architecture import Architecture
from rlhf_jax.models.huggingface.safetensors import (
  DTYPES,
  NAMES,
  CheckpointError,
  Planned,
)
from rlhf_jax.storage import files
from rlhf_jax.types import Params

LARGEST_FILE = 5 * 10**9  # Bytes; as transformers has it.
CLASSIFICATION = 'ForSequenceClassification'


class _Source(NamedTuple):
  """What a folder is written like.

  Attributes:
    architecture: whose names it has.
    json: its config.json.
    layout: the tensors of each file, each with the name of the expected one, or
      '' of a constant.
    constants: what the original has beside our parameters, by name.
  """

  architecture: Architecture
  json: dict[str, Any]
  layout: Mapping[str, Sequence[tuple[Planned, str]]]
  constants: Mapping[str, safetensors.StoredTensor]


def write(
  folder: str | pathlib.Path,
  config: TransformerConfig,
  params: Params,
  *,
  original: str | pathlib.Path | None = None,
  dtype: str | None = None,
  settings: Mapping[str, Any] | None = None,
  out: TextIO = sys.stderr,
) -> None:
  """Writes config.json, tensors and, of an original, what lies beside them.

  Tensors are named, typed and spread over files as the original's, so that
  what was not trained is the same bytes. A reward model, {'trunk', 'head'}, is
  a ForSequenceClassification there, which has no place for a bias of the head:
  it must be 0.

  Args:
    folder: to be made, whole or not at all.
    config: of the parameters; of an original's first layers, where they are
      of these alone.
    params: of a policy, or of a reward model.
    original: the folder that they were read from; None writes as the first
      architecture that computes the same.
    dtype: of all tensors; None keeps the original's, or the parameters'.
    settings: more for config.json, as ids of tokens.
    out: where progress is shown.

  Raises:
    CheckpointError: the config is not the original's, or nothing that
      transformers has; or a file cannot be read.
    StorageError: it cannot be written; nothing is left.
  """
  folder = pathlib.Path(folder)
  scores = params['head']['kernel'].shape[1] if 'head' in params else None
  if scores is not None and np.any(jax.device_get(params['head']['bias'])):
    raise CheckpointError(
      "the reward model's head has a bias, which ForSequenceClassification has "
      'no place for; train it by comparisons, which leave it 0'
    )
  source = _source(config, scores, original, dtype)
  there = flatten_dict(params, sep='/')
  tensors = mapping.tensors(source.architecture, config, scores)
  expected = mapping.parameters(config, scores)
  _check(there, flatten_dict(expected, sep='/'))
  planned = {
    file: [one for one, _ in entries] for file, entries in source.layout.items()
  }
  size = layouts.sizes(config, scores or 1)

  def bytes_of(one, full):
    if not full:
      given = source.constants[one.name]
      return np.fromfile(given.path, np.uint8, one.size, offset=given.start)
    array = _gathered(there, tensors[full], DTYPES[one.dtype], size)
    return array.reshape(-1).view(np.uint8)

  with folders.new_folder(folder) as partial:
    _write_tensors(partial, source.layout, planned, bytes_of, out)
    if len(planned) > 1:
      files.write_json(
        partial / safetensors.INDEX, safetensors.index_of(planned)
      )
    said = source.json | (settings or {})
    files.write_json(partial / folders.CONFIG, said)
    if original is not None:
      folders.copy_tokenizer_files(pathlib.Path(original), partial)


def _write_tensors(partial, layout, planned, bytes_of, out):
  """Writes the files of a layout, tensor by tensor."""
  todo = [(name, e) for name, entries in layout.items() for e in entries]
  shown = progress.track(todo, 'writing', len(todo), out=out, unit='tensor')
  with contextlib.ExitStack() as opened:
    file, current = None, None
    for name, entry in shown:
      if name != current:
        current = name
        file = opened.enter_context((partial / name).open('wb'))
        safetensors.write_header(file, planned[name])
      file.write(bytes_of(*entry))


def _source(config, scores, original, dtype):
  if original is None:
    architecture, json = architectures.of_config(config)
    kind = NAMES[dtype or config.param_dtype]
    tensors = mapping.tensors(architecture, config, scores)
    entries = [
      (Planned(name, kind, one.shape), name)
      for name, one in tensors.items()
      if not one.optional
    ]
    layout, constants = _spread(entries), {}
  else:
    opened = folder_reading.open_folder(original)
    architecture = opened.architecture
    json = safetensors.read_json(pathlib.Path(original) / folders.CONFIG)
    if config.layers < opened.config.layers:
      opened, said = _first(opened, config.layers)
      json |= said
    if not fields.same_shape(opened.config, config):
      raise CheckpointError(
        f'the parameters are of another model than that of {original}; name '
        'the folder that they were read from'
      )
    layout = _as_original(opened, scores, NAMES[dtype] if dtype else None)
    constants = {
      n: one for n, one in opened.stored.items() if n not in opened.names
    }
  head = architecture.causal if scores is None else CLASSIFICATION
  json = dict(json) | {'architectures': [architecture.name + head]}
  if scores is not None:
    labels = {str(i): f'LABEL_{i}' for i in range(scores)}
    json |= {'id2label': labels, 'num_labels': scores}
    json |= {'label2id': {label: int(i) for i, label in labels.items()}}
  if dtype or original is None:
    json.pop('dtype', None)
    json['torch_dtype'] = dtype or config.param_dtype
  return _Source(architecture, json, layout, constants)


def _first(opened, layers):
  """What a folder would hold of its first layers, and what its json says then.

  Without constants: those of layers that are left out have no place.
  """
  config = opened.config.first(layers)
  json = opened.architecture.json_of(config)
  if json is None:
    raise CheckpointError(
      f'a {opened.architecture.kind} cannot be the first {layers} of its '
      f'{opened.config.layers} layers alone'
    )
  stored = {n: one for n, one in opened.stored.items() if n in opened.names}
  return opened._replace(config=config, stored=stored), json


def _as_original(opened, scores, kind):
  """The files of an original, with the read-out of what is written."""
  wanted = mapping.tensors(opened.architecture, opened.config, scores)
  layout = {}
  for name, stored in opened.stored.items():
    full = opened.names.get(name, '')
    if not full:
      one = Planned(name, stored.dtype, stored.shape)
    elif full in wanted:
      one = Planned(name, kind or stored.dtype, wanted[full].shape)
    else:
      continue
    layout.setdefault(stored.path.name, []).append((one, full))
  if scores is not None and mapping.SCORE not in opened.names:
    last = layout[list(layout)[-1]]
    shape = wanted[mapping.SCORE].shape
    one = Planned(mapping.SCORE, last[-1][0].dtype, shape)
    last.append((one, mapping.SCORE))
  written = {full for entries in layout.values() for _, full in entries}
  missing = [
    name
    for name, one in wanted.items()
    if not one.optional and name not in written
  ]
  if missing:
    raise CheckpointError(
      f'the original has no {missing[0]}, which these parameters have; name '
      'the folder that they were read from'
    )
  return layout


def _spread(entries):
  """Tensors over files of at most LARGEST_FILE bytes, one at the least."""
  groups, room = [[]], LARGEST_FILE
  for entry in entries:
    size = entry[0].size
    if size > room and groups[-1]:
      groups.append([])
      room = LARGEST_FILE
    groups[-1].append(entry)
    room -= size
  if len(groups) == 1:
    return {safetensors.FILE: groups[0]}
  return {
    f'model-{i:05}-of-{len(groups):05}.safetensors': group
    for i, group in enumerate(groups, 1)
  }


def _check(there, expected):
  shapes = [
    {name: tuple(leaf.shape) for name, leaf in tree.items()}
    for tree in (there, expected)
  ]
  if shapes[0] != shapes[1]:
    wrong = sorted(dict(shapes[0].items() ^ shapes[1].items()))
    raise CheckpointError(
      f'the parameters are not those of the config: {wrong[0]} differs; name '
      'the folder that they were read from'
    )


def _gathered(there, tensor, dtype, size):
  """One tensor of a file, from wherever its pieces are."""
  array = np.empty(tensor.shape, dtype)
  for piece in tensor.pieces:
    part = np.asarray(_take(there[piece.leaf], piece.at))
    view = layouts.view(array, piece.pattern, size)
    with np.errstate(over='ignore'):  # Told below.
      view[...] = part
    if not np.isfinite(view).all() and np.isfinite(part).all():
      raise CheckpointError(
        f'{piece.leaf} has numbers that {dtype} cannot hold; give another dtype'
      )
  return array


def _take(leaf, at):
  """A part of a parameter on the host; of each axis all, or one place."""
  if not isinstance(leaf, jax.Array):
    return np.asarray(leaf)[layouts.index(at)]
  whole = leaf.sharding
  if isinstance(whole, NamedSharding):
    whole = NamedSharding(whole.mesh, PartitionSpec())
  axes = tuple(axis for axis, i in enumerate(at) if i is not None)
  places = tuple(i for i in at if i is not None)
  return jax.device_get(_taker(axes, whole)(leaf, places))


@functools.lru_cache
def _taker(axes, whole):
  def take(leaf, places):
    for axis, place in zip(axes[::-1], places[::-1], strict=True):
      leaf = jax.lax.dynamic_index_in_dim(leaf, place, axis, keepdims=False)
    return leaf

  return jax.jit(take, out_shardings=whole)
