"""Low-rank adapters of a transformer's linear maps, in its tree of parameters.

Beside the leaf of a map W, `query`, stands `query_lora`: {'a' [L, in, R],
'b' [L, R, out], 'scale' [L]}, and the map is x ↦ x W + scale (x A) B. Trees
without such leaves are read as ever.

Source: Hu et al. 2021 (2106.09685), §4.1.
"""

import dataclasses
import math
import re
import zlib
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import traverse_util

from rlhf_jax.types import Params
from rlhf_jax.types.rules import Count, Positive
from rlhf_jax.types.values import checked

SUFFIX = '_lora'
# The leaves of a transformer, wherever it stands in a tree. All others are
# those of heads, which are trained whole.
TRANSFORMER = re.compile(
  r'(^|/)(embedding|unembedding|positions|layers/.+|final_norm/\w+)$'
)
ADAPTER = re.compile(rf'{SUFFIX}/[ab]$')
SCALE = re.compile(rf'{SUFFIX}/scale$')

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class LoRA:
  """Adapters of which maps, and of what size. There is no dropout.

  Attributes:
    rank: R, of each product A B.
    alpha: the product counts alpha / rank.
    targets: regular expressions; a map is adapted whose path has one of them.
  """

  rank: Count = 16
  alpha: Positive = 32.0
  targets: tuple[str, ...] = ('attention/', 'mlp/')


class Map(NamedTuple):
  """The axes of a linear map, in letters, without that of the layers.

  Attributes:
    inputs: of what it reads.
    outputs: of what it gives.
    each: of several maps in one leaf, each with an A and a B of its own.
  """

  inputs: str
  outputs: str
  each: str = ''

  @property
  def kernel(self) -> str:
    """The axes of W."""
    return self.inputs + self.each + self.outputs

  @property
  def a(self) -> str:
    """The axes of A."""
    return f'{self.inputs}{self.each}r'

  @property
  def b(self) -> str:
    """The axes of B."""
    return f'{self.each}r{self.outputs}'


MAPS = {
  'query': Map('d', 'hk'),
  'key': Map('d', 'hk'),
  'value': Map('d', 'hk'),
  'output': Map('hk', 'd'),
  'gate_and_up': Map('d', 'f', each='i'),
  'up': Map('d', 'f'),
  'down': Map('f', 'd'),
}


def product(
  name: str, x: chex.Array, adapter: Mapping[str, chex.Array]
) -> chex.Array:
  """scale (x A) B [B, T, out] of x [B, T, in], of one layer's map."""
  axes = MAPS[name]
  a, b = (adapter[key].astype(x.dtype) for key in 'ab')
  low = jnp.einsum(f'bt{axes.inputs},{axes.a}->bt{axes.each}r', x, a)
  out = f'bt{axes.each}{axes.outputs}'
  high = jnp.einsum(f'bt{axes.each}r,{axes.b}->{out}', low, b)
  return adapter['scale'].astype(x.dtype) * high


def add(
  config: LoRA,
  key: chex.PRNGKey,
  params: Params,
  *,
  among: Container[Path] | None = None,
) -> Params:
  """Parameters with adapters, which change nothing yet: B is 0.

  Adapters that are there stay as they are. A is uniform on ±1/√in.

  Args:
    config: of the adapters.
    key: of A; each map's is folded from it and its path.
    params: of transformers, at any depth.
    among: the paths of the maps that may be adapted; all where None.

  Raises:
    ValueError: no map is a target, or adapters of another rank are there.
  """
  flat = traverse_util.flatten_dict(params)
  targets = [
    path
    for path in flat
    if _is_target(config, path) and (among is None or path in among)
  ]
  if not targets:
    raise ValueError(
      f'none of {", ".join(map(repr, config.targets))} is in the path of a '
      'linear map that starts from given parameters; such paths are '
      f'layers/attention/query, and maps are {", ".join(sorted(MAPS))}'
    )
  for path in targets:
    own = (*path[:-1], path[-1] + SUFFIX)
    if (*own, 'a') in flat:
      rank = flat[*own, 'a'].shape[-1]
      if rank != config.rank:
        raise ValueError(
          f'{"/".join(path)} has adapters of rank {rank} already, and '
          f'{config.rank} is asked for; ask for {rank}'
        )
    else:
      folded = jax.random.fold_in(key, zlib.crc32('/'.join(path).encode()))
      for leaf, value in _adapter(config, folded, path, flat[path]).items():
        flat[*own, leaf] = value
  return traverse_util.unflatten_dict(flat)


def _is_target(config, path):
  name = '/'.join(path)
  mapped = path[-1] in MAPS and TRANSFORMER.search(name)
  return bool(mapped) and any(re.search(t, name) for t in config.targets)


def shapes(
  name: str, kernel: tuple[int, ...], rank: int
) -> dict[str, tuple[int, ...]]:
  """Those of a map's adapter by leaf; `kernel` is the shape of W, [L, …]."""
  layers, axes = kernel[0], MAPS[name]
  sizes = dict(zip(axes.kernel, kernel[1:], strict=True)) | {'r': rank}
  return {
    'a': (layers, *(sizes[axis] for axis in axes.a)),
    'b': (layers, *(sizes[axis] for axis in axes.b)),
    'scale': (layers,),
  }


def _adapter(config, key, path, kernel):
  shape = shapes(path[-1], kernel.shape, config.rank)
  inputs = MAPS[path[-1]].inputs
  bound = math.prod(shape['a'][1 : 1 + len(inputs)]) ** -0.5
  return {
    'a': jax.random.uniform(key, shape['a'], minval=-bound, maxval=bound),
    'b': jnp.zeros(shape['b']),
    'scale': jnp.full(shape['scale'], config.alpha / config.rank),
  }


def merge(params: Params) -> Params:
  """The same function without adapters: W + scale A B."""
  flat = traverse_util.flatten_dict(params)
  merged = {}
  for path in flat:
    if any(name.endswith(SUFFIX) for name in path):
      continue
    own, kernel = (*path[:-1], path[-1] + SUFFIX), flat[path]
    if (*own, 'a') in flat:
      axes = MAPS[path[-1]]
      a, b, scale = (flat[*own, leaf] for leaf in ('a', 'b', 'scale'))
      more = jnp.einsum(f'l{axes.a},l{axes.b},l->l{axes.kernel}', a, b, scale)
      kernel = (kernel + more).astype(kernel.dtype)
    merged[path] = kernel
  return traverse_util.unflatten_dict(merged)


def split(params: Params, given: Container[Path]) -> tuple[Params, Params]:
  """What is trained of parameters with adapters, and the base beside it.

  Args:
    params: with adapters.
    given: the paths of what is not drawn anew; of it the adapters and heads
      alone are trained.

  Returns:
    (trained, base), which `training.state.whole` joins.
  """
  trained, base = {}, {}
  for path, leaf in traverse_util.flatten_dict(params).items():
    name = '/'.join(path)
    fixed = path in given and TRANSFORMER.search(name)
    fixed = fixed and not ADAPTER.search(name) or SCALE.search(name)
    (base if fixed else trained)[path] = leaf
  return tuple(map(traverse_util.unflatten_dict, (trained, base)))


def base(config: LoRA, shapes: Params, given: Mapping[Path, Any]) -> Params:
  """The base of parameters with adapters, in the very arrays of `given`.

  Args:
    config: of the adapters that are new.
    shapes: of the parameters with adapters.
    given: arrays by path, as of `handed_on`.
  """
  _, fixed = split(shapes, given)
  scale = config.alpha / config.rank
  flat = {
    path: given[path] if path in given else jnp.full(leaf.shape, scale)
    for path, leaf in traverse_util.flatten_dict(fixed).items()
  }
  return traverse_util.unflatten_dict(flat)


def handed_on(
  init: Callable[..., Params], key: chex.PRNGKey, start: Params
) -> dict[Path, Any]:
  """The leaves of `start` that init(key, start) returns as they are, by path.

  Args:
    init: of a learner; it is traced, not run.
    key: for it.
    start: arrays, or their shapes and types.
  """
  traced, shapes = jax.make_jaxpr(init, return_shape=True)(key, start)
  leaves = jax.tree.leaves((key, start))
  inputs = {id(v): x for v, x in zip(traced.jaxpr.invars, leaves, strict=True)}
  paths = [p for p, _ in jax.tree_util.tree_leaves_with_path(shapes)]
  return {
    tuple(step.key for step in path): inputs[id(v)]
    for path, v in zip(paths, traced.jaxpr.outvars, strict=True)
    if id(v) in inputs
  }
