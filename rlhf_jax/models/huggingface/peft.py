"""Low-rank adapters in PEFT's format, both ways.

A folder has adapter_config.json and adapter_model.safetensors, with tensors
`….lora_A.weight` [R, in] and `….lora_B.weight` [out, R] for each adapted
tensor of the base. Where a tensor of theirs holds several maps of ours, as a
fused `qkv_proj`, their ranks add up and B is zero beyond each map's own part.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from flax import traverse_util

from rlhf_jax.models import lora
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import (
  folder_reading,
  layouts,
  mapping,
  safetensors,
)
from rlhf_jax.models.huggingface.architecture import Architecture
from rlhf_jax.models.huggingface.folders import new_folder
from rlhf_jax.models.huggingface.safetensors import CheckpointError, Planned
from rlhf_jax.storage import files
from rlhf_jax.types import Params

CONFIG = 'adapter_config.json'
TENSORS = 'adapter_model.safetensors'
PREFIX = 'base_model.model.'
HEAD = ('head', 'kernel')
# What changes the function that adapters compute, where it is not as here.
PLAIN = {
  'peft_type': 'LORA',
  'bias': 'none',
  'use_dora': False,
  'layers_to_transform': None,
}


class _Map(NamedTuple):
  """One linear map of ours in a tensor of theirs.

  Attributes:
    path: of our parameter, in the tree of a transformer.
    a, b: the patterns of A and B, as of `layouts`, with R for the rank.
  """

  path: tuple[str, ...]
  a: str
  b: str


def base_of(folder: str | pathlib.Path) -> str:
  """What a folder of adapters says that its base is: a folder, or a name."""
  said = safetensors.read_json(pathlib.Path(folder) / CONFIG)
  return str(said.get('base_model_name_or_path'))


def write(
  folder: str | pathlib.Path,
  config: TransformerConfig,
  params: Params,
  *,
  original: str | pathlib.Path,
) -> None:
  """Writes the adapters of a policy, or of a reward model with its head.

  Args:
    folder: to be made, whole or not at all.
    config: of the base.
    params: with adapters; a head's bias is left out, as PEFT has none.
    original: the folder that the base was read from; PEFT loads it first.

  Raises:
    CheckpointError: there are no adapters, or PEFT has no place for them.
    StorageError: it cannot be written; nothing is left.
  """
  original = pathlib.Path(original)
  opened = folder_reading.open_folder(original)
  flat = traverse_util.flatten_dict(params)
  trunk = ('trunk',) if 'trunk' in params else ()
  tensors, ranks, alphas = {}, {}, {}
  for module, maps in _modules(opened.architecture, config):
    own = [(m, (*trunk, *m.path[:-1], m.path[-1] + lora.SUFFIX)) for m in maps]
    own = [(m, path) for m, path in own if (*path, 'a') in flat]
    if own:
      arrays = [
        (m, {k: np.asarray(flat[*path, k]) for k in ('a', 'b', 'scale')})
        for m, path in own
      ]
      ranks[module], alphas[module] = _pack(tensors, module, config, arrays)
  if not tensors:
    raise CheckpointError('the parameters have no adapters; write them whole')
  if trunk:
    tensors[PREFIX + mapping.SCORE] = np.asarray(flat[HEAD]).T
  said = _said(original, ranks, alphas, scores=bool(trunk))
  planned = [Planned(n, 'F32', x.shape) for n, x in tensors.items()]
  with new_folder(pathlib.Path(folder)) as partial:
    with (partial / TENSORS).open('wb') as file:
      safetensors.write_header(file, planned)
      for array in tensors.values():
        file.write(np.ascontiguousarray(array, np.float32).tobytes())
    files.write_json(partial / CONFIG, said)


def read(
  folder: str | pathlib.Path, original: str | pathlib.Path
) -> tuple[str, Params]:
  """The role and the adapters of a folder of PEFT, of a reward its head too.

  `training.state.whole` joins them to the parameters of `original`, the folder
  of the base.

  Raises:
    CheckpointError: the folder is damaged, of another base, or what it holds
      changes the base otherwise than low-rank adapters do.
  """
  folder = pathlib.Path(folder)
  said = safetensors.read_json(folder / CONFIG)
  for key, plain in PLAIN.items():
    if said.get(key, plain) != plain:
      raise CheckpointError(
        f'{folder / CONFIG}: {key} is {said[key]!r}, and only {plain!r} is '
        'known; merge it with PEFT, and import the whole model'
      )
  opened = folder_reading.open_folder(original)
  stored = safetensors.header(folder / TENSORS)
  safetensors.check_types(stored)
  there = {
    one.name.removeprefix(PREFIX): array.astype(np.float32)
    for one, array in safetensors.each(stored)
  }
  kernels = traverse_util.flatten_dict(mapping.parameters(opened.config))
  found: dict[tuple[str, ...], np.ndarray] = {}
  for module, maps in _modules(opened.architecture, opened.config):
    for layer in range(opened.config.layers):
      name = module.format(layer)
      pair = [there.pop(f'{name}.lora_{of}.weight', None) for of in 'AB']
      if pair[0] is None or pair[1] is None:
        continue
      size = layouts.sizes(opened.config) | {'R': len(pair[0])}
      for one in maps:
        where = f'{folder}: {name}'
        kernel = kernels[one.path].shape
        adapter = _room_for(found, one, kernel, pair, where)
        adapter['scale'][layer] = _scale(said, name, len(pair[0]))
        _put(adapter, layer, one, pair, size, where)
  head = there.pop(mapping.SCORE, None)
  if there:
    raise CheckpointError(
      f'{folder / TENSORS} has a tensor {next(iter(there))}, which the model '
      f'of {original} has no adapter for; name the folder of its base'
    )
  tree = traverse_util.unflatten_dict(found)
  if head is None:
    return 'policy', tree
  bias = np.zeros(len(head), np.float32)
  return 'reward', {'trunk': tree, 'head': {'kernel': head.T, 'bias': bias}}


def _modules(
  architecture: Architecture, config: TransformerConfig
) -> Iterator[tuple[str, list[_Map]]]:
  """Their modules that hold linear maps of ours; {} in a name is the layer."""
  there = traverse_util.flatten_dict(mapping.parameters(config), sep='/')
  for name, pieces in architecture.tensors.items():
    maps = [
      own
      for leaf, pattern in pieces.items()
      if leaf in there and leaf.split('/')[-1] in lora.MAPS
      for own in _maps(leaf, pattern)
    ]
    if maps:
      yield name.removesuffix('.weight'), maps


def _maps(leaf: str, pattern: str) -> Iterator[_Map]:
  """The maps of a leaf that one tensor holds, by its pattern."""
  path = tuple(leaf.split('/'))
  axes = lora.MAPS[path[-1]]
  source, target = (side.strip() for side in pattern.split('->'))
  groups = [g.strip('()') for g in re.findall(r'\([^)]*\)|\S+', source)]
  target = target.split()
  inputs = target[: len(axes.inputs)]
  each = target[len(axes.inputs) : len(axes.inputs) + len(axes.each)]
  outputs = target[len(axes.inputs) + len(axes.each) :]
  (read,) = [g for g in groups if g.split() == inputs]
  (made,) = [g for g in groups if g.split() != inputs]
  places = each or ['']
  if each and each[0].isdigit():  # All of them, one behind the other.
    places = [f'{i}/{each[0]}' for i in range(int(each[0]))]
  for place in places:
    into = ' '.join(place if t == ''.join(each) else t for t in made.split())
    a = ' '.join([*inputs, place, 'R'])
    b = ' '.join([place, 'R', *outputs])
    yield _Map(path, f'R ({read}) -> {a}', f'({into}) R -> {b}')


def _pack(
  tensors: dict[str, np.ndarray],
  module: str,
  config: TransformerConfig,
  own: Sequence[tuple[_Map, Mapping[str, np.ndarray]]],
) -> tuple[int, float]:
  """Adds the tensors of a module in all layers. Returns its rank and alpha."""
  scales = np.concatenate([adapter['scale'] for _, adapter in own])
  if np.any(scales != scales[0]):
    raise CheckpointError(
      f'adapters of {module} have several scales, and PEFT has one of each'
    )
  rank = own[0][1]['a'].shape[-1]
  size = layouts.sizes(config) | {'R': rank}
  for layer in range(config.layers):
    parts = []
    for one, adapter in own:
      pair = []
      for leaf, pattern in zip('ab', one[1:], strict=True):
        array = np.zeros(layouts.shape(pattern, size), np.float32)
        view = layouts.view(array, pattern, size)
        filled = layouts.index(layouts.place(pattern))
        view[...] = adapter[leaf][layer][filled]
        pair.append(array)
      parts.append(pair)
    name = PREFIX + module.format(layer)
    tensors[f'{name}.lora_A.weight'] = np.concatenate([a for a, _ in parts])
    tensors[f'{name}.lora_B.weight'] = np.concatenate(
      [b for _, b in parts], axis=1
    )
  total = rank * len(own)
  return total, float(scales[0]) * total


def _said(original, ranks, alphas, *, scores):
  """adapter_config.json."""
  names = {module.split('{}.')[-1]: module for module in ranks}
  rank, alpha = min(ranks.values()), min(alphas.values())
  return {
    'peft_type': 'LORA',
    'task_type': 'SEQ_CLS' if scores else 'CAUSAL_LM',
    'base_model_name_or_path': str(original),
    'r': rank,
    'lora_alpha': alpha,
    'lora_dropout': 0.0,
    'bias': 'none',
    'target_modules': sorted(names),
    'modules_to_save': ['score'] if scores else None,
    'rank_pattern': {n: ranks[m] for n, m in names.items() if ranks[m] > rank},
    'alpha_pattern': {
      n: alphas[m] for n, m in names.items() if alphas[m] > alpha
    },
    'inference_mode': True,
  }


def _room_for(found, one, kernel, pair, where):
  """The leaves of a map's adapter, made where they are not there yet."""
  path = (*one.path[:-1], one.path[-1] + lora.SUFFIX)
  shapes = lora.shapes(one.path[-1], kernel, len(pair[0]))
  for leaf, shape in shapes.items():
    array = found.setdefault((*path, leaf), np.zeros(shape, np.float32))
    if array.shape != shape:
      raise CheckpointError(
        f'{where} has rank {len(pair[0])}, and adapters beside it, which are '
        f'one leaf here, have another; give {"/".join(one.path)} one rank'
      )
  return {leaf: found[*path, leaf] for leaf in shapes}


def _put(adapter, layer, one, pair, size, where):
  """Puts A and B of a layer's module where one of its maps has them."""
  for leaf, pattern, array in zip('ab', one[1:], pair, strict=True):
    expected = layouts.shape(pattern, size)
    if array.shape != expected:
      raise CheckpointError(
        f'{where}.lora_{leaf.upper()} is {list(array.shape)}, and the base '
        f'wants {list(expected)}; name the folder of its base'
      )
    filled = layouts.index(layouts.place(pattern))
    adapter[leaf][layer][filled] = layouts.view(array, pattern, size)


def _scale(said, name, rank):
  """alpha / R of a module, or alpha / √R as rsLoRA has it."""
  alpha = said.get('lora_alpha', 8)
  for pattern, value in (said.get('alpha_pattern') or {}).items():
    if re.fullmatch(rf'(.*\.)?({pattern})', name):
      alpha = value
  return alpha / (rank**0.5 if said.get('use_rslora') else rank)
