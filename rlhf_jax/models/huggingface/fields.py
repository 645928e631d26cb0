"""What config.json says of a model, as a TransformerConfig and back."""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf_jax.models.config import (
  MLP,
  Attention,
  Local,
  Norm,
  Positions,
  Residual,
  TransformerConfig,
  gelu,
  gelu_tanh,
  relu,
  silu,
)
from rlhf_jax.models.huggingface.safetensors import CheckpointError
from rlhf_jax.models.rotary import ByWavelength, Linear, Rotary, Short, Yarn

Json = Mapping[str, Any]
PARTS = {
  'norm': Norm,
  'attention': Attention,
  'mlp': MLP,
  'residual': Residual,
  'positions': Positions,
}
# The first name of a function is the one that is written.
ACTIVATIONS = {
  'silu': silu,
  'swish': silu,
  'gelu': gelu,
  'gelu_pytorch_tanh': gelu_tanh,
  'gelu_new': gelu_tanh,
  'gelu_fast': gelu_tanh,
  'relu': relu,
}
ROPE_TYPES = ('default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope')
LOCAL = 'sliding_attention'


def config(parts: Mapping[str, Any]) -> TransformerConfig:
  """A config of values by dotted name, `norm.epsilon` and the like."""
  flat, inner = {}, collections.defaultdict(dict)
  for key, value in parts.items():
    name, _, field = key.rpartition('.')
    (inner[name] if name else flat)[field] = value
  own = {name: of(**inner[name]) for name, of in PARTS.items() if name in inner}
  return TransformerConfig(**flat, **own)


def value(config: TransformerConfig, name: str) -> Any:
  """The value of a dotted name."""
  for part in name.split('.'):
    config = getattr(config, part, None)
  return config


def activation(name: Any) -> Callable:
  """The function of a name in `hidden_act`."""
  if name not in ACTIVATIONS:
    raise CheckpointError(
      f'the activation {name!r} is not known; there are '
      f'{", ".join(ACTIVATIONS)}'
    )
  return ACTIVATIONS[name]


def activation_name(function: Callable) -> str | None:
  """The name of a function in `hidden_act`."""
  return next((n for n, f in ACTIVATIONS.items() if f is function), None)


def rotary(
  json: Json,
  head_width: int,
  *,
  theta: float = 1e4,
  share: float | None = None,
) -> Rotary:
  """The rotation that `rope_parameters`, or older keys, describe.

  Args:
    json: config.json.
    head_width: of one head.
    theta: the base where none is given.
    share: how much of a head turns where it is not said; None for architectures
      whose heads always turn whole.

  Raises:
    CheckpointError: it is of a type that is not known, or turns heads in part.
  """
  found = json.get('rope_parameters') or json.get('rope_scaling') or {}
  if not isinstance(found, Mapping):
    raise CheckpointError(f'the rotation must be an object, and is {found!r}')
  base = found.get('rope_theta', json.get('rope_theta', theta))
  said = found.get('partial_rotary_factor', json.get('partial_rotary_factor'))
  if share is None and said not in (None, 1.0):
    raise CheckpointError(
      f'partial_rotary_factor is {said}, and heads of this kind turn whole'
    )
  width = int(head_width * (said or share or 1.0))
  return Rotary(
    base=float(base),
    width=None if width == head_width else width,
    scaling=_scaling(found, json),
  )


def _scaling(found, json):
  kind = found.get('rope_type', found.get('type', 'default'))
  kind = 'longrope' if kind == 'su' else kind  # Its name in older files.
  if kind not in ROPE_TYPES:
    raise CheckpointError(
      f'the rope type {kind!r} is not known; there are {", ".join(ROPE_TYPES)}'
    )
  if kind == 'default':
    return None
  most = json.get('max_position_embeddings')
  original = found.get('original_max_position_embeddings') or json.get(
    'original_max_position_embeddings', most
  )
  factor = found.get('factor')
  if factor is None and kind in ('yarn', 'longrope') and most and original:
    factor = most / original
  if kind == 'longrope' and not found.get('short_factor'):
    raise CheckpointError("rope type 'longrope' needs a short_factor")
  if factor is None or (kind != 'linear' and original is None):
    raise CheckpointError(
      f'rope type {kind!r} needs a factor'
      + ('' if kind == 'linear' else ' and original_max_position_embeddings')
    )
  factor = float(factor)
  if kind == 'linear':
    return Linear(factor=factor)
  if kind == 'dynamic':
    return Short(original=most)
  if kind == 'longrope':
    magnitude = found.get('attention_factor')
    if magnitude is None:
      more = math.log(factor) / math.log(original) if factor > 1 else 0.0
      magnitude = math.sqrt(1.0 + more)
    factors = tuple(map(float, found['short_factor']))
    return Short(original=original, factors=factors, magnitude=magnitude)
  if kind == 'llama3':
    return ByWavelength(
      factor=factor,
      low=float(found.get('low_freq_factor', 1.0)),
      high=float(found.get('high_freq_factor', 4.0)),
      original=original,
    )
  magnitude = found.get('attention_factor')
  if magnitude is None:
    mscale, whole = found.get('mscale'), found.get('mscale_all_dim')
    magnitude = _yarn_magnitude(factor, mscale if mscale and whole else 1.0)
    if mscale and whole:
      magnitude /= _yarn_magnitude(factor, whole)
  return Yarn(
    factor=factor,
    original=original,
    fast=float(found.get('beta_fast') or 32.0),
    slow=float(found.get('beta_slow') or 1.0),
    whole=found.get('truncate', True),
    magnitude=magnitude,
  )


def _yarn_magnitude(factor, mscale):
  """0.1 m ln(factor) + 1."""
  return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def rotary_json(rotary: Rotary, head_width: int) -> dict[str, Any]:
  """A rotation in the keys that old and new readers know.

  Raises:
    CheckpointError: of long rows, config.json would have to say more.
  """
  out = {'rope_theta': rotary.base}
  if rotary.width is not None:
    out['partial_rotary_factor'] = rotary.width / head_width
  scaling = rotary.scaling
  if isinstance(scaling, Short):
    raise CheckpointError('how long rows turn is not known; name the original')
  if scaling is not None:
    own = {'factor': scaling.factor}
    if isinstance(scaling, ByWavelength):
      own |= {'low_freq_factor': scaling.low, 'high_freq_factor': scaling.high}
    elif isinstance(scaling, Yarn):
      own |= {'beta_fast': scaling.fast, 'beta_slow': scaling.slow}
      own |= {'attention_factor': scaling.magnitude, 'truncate': scaling.whole}
    if not isinstance(scaling, Linear):
      own['original_max_position_embeddings'] = scaling.original
    kinds = {Linear: 'linear', ByWavelength: 'llama3', Yarn: 'yarn'}
    out['rope_scaling'] = {'rope_type': kinds[type(scaling)], **own}
  return out


def local(
  window: int | None, layers: Sequence[bool], rotary: Rotary
) -> Local | None:
  """The local layers; None where no layer is."""
  if window is None or not any(layers):
    return None
  return Local(window=window, layers=tuple(layers), rotary=rotary)


def of_types(json: Json, otherwise: Callable[[int], bool]) -> list[bool]:
  """Of each layer, whether it is local: `layer_types`, or `otherwise`."""
  count = json.get('num_hidden_layers', 0)
  kinds = json.get('layer_types')
  if kinds is None:
    return [otherwise(layer) for layer in range(count)]
  unknown = sorted(set(kinds) - {LOCAL, 'full_attention'})
  if unknown:
    raise CheckpointError(f'the layer type {unknown[0]!r} is not known')
  return [kind == LOCAL for kind in kinds]


def types_json(config: TransformerConfig) -> dict[str, Any]:
  """Which layers are local, and their window."""
  local = config.local
  flags = local.layers if local else (False,) * config.layers
  return {
    'sliding_window': local.window if local else None,
    'layer_types': [LOCAL if flag else 'full_attention' for flag in flags],
  }


def same_shape(one: TransformerConfig, other: TransformerConfig) -> bool:
  """Whether two configs compute the same, in whatever types and way."""
  free = {
    'param_dtype': 'float32',
    'compute_dtype': 'float32',
    'attention_core': None,
    'remat': None,
  }
  return dataclasses.replace(one, **free) == dataclasses.replace(other, **free)
