"""Which tensors of a folder are which parameters of ours."""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict

from rlhf_jax.models import heads, transformer
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import layouts
from rlhf_jax.models.huggingface.architecture import Architecture
from rlhf_jax.models.huggingface.layouts import Piece
from rlhf_jax.models.huggingface.safetensors import CheckpointError

SCORE = 'score.weight'
# Constants that older files hold, which follow from the config.
CONSTANTS = re.compile(
  r'\.(rotary_emb\.inv_freq|(attn|attention)\.(masked_)?bias)$'
)


class Tensor(NamedTuple):
  """A tensor of a file.

  Attributes:
    shape: there.
    pieces: what it is of our parameters.
    optional: files need not have it.
  """

  shape: tuple[int, ...]
  pieces: tuple[Piece, ...]
  optional: bool = False


def parameters(config: TransformerConfig, scores: int | None = None) -> Any:
  """Shapes and types of the parameters: a policy's, or a reward model's."""
  if scores is None:
    init = functools.partial(transformer.init, config)
  else:
    init = heads.scalar_model(config, scores=scores).init
  return jax.eval_shape(lambda: init(jax.random.key(0)))


def tensors(
  architecture: Architecture,
  config: TransformerConfig,
  scores: int | None = None,
) -> dict[str, Tensor]:
  """All tensors of a policy, or of a reward model with `scores`, by name."""
  size = layouts.sizes(config, scores or 1)
  there = flatten_dict(parameters(config, scores), sep='/')
  trunk = '' if scores is None else 'trunk/'
  found = {}
  for name, pieces in architecture.tensors.items():
    own = [(trunk + leaf, p) for leaf, p in pieces.items()]
    own = [(leaf, pattern) for leaf, pattern in own if leaf in there]
    stacked = '{}' in name
    for layer in range(config.layers) if stacked else (None,):
      if own:
        found[name.format(layer)] = Tensor(
          layouts.shape(own[0][1], size),
          tuple(Piece(leaf, pattern, layer) for leaf, pattern in own),
        )
    if not own and 'unembedding' in pieces and scores is None:  # Tied.
      embedding = Piece('embedding', 'V D -> V D', None)
      shape = layouts.shape(embedding.pattern, size)
      found[name] = Tensor(shape, (embedding,), optional=True)
  if scores is not None:
    head = Piece('head/kernel', 'M D -> D M', None)
    found[SCORE] = Tensor(layouts.shape(head.pattern, size), (head,))
  return found


def matched(
  architecture: Architecture,
  expected: Mapping[str, Tensor],
  shapes: Mapping[str, tuple[int, ...]],
  where: str,
) -> dict[str, str]:
  """The expected tensor of each tensor that is there.

  Args:
    architecture: whose names they are; files may lack its prefix.
    expected: of `tensors`.
    shapes: of what is there, by name.
    where: the folder, for messages.

  Raises:
    CheckpointError: a tensor is missing, too many, or of another shape.
  """
  names = {}
  for name in shapes:
    full = name if name in expected else architecture.base + name
    if full in expected:
      names[name] = full
    elif not CONSTANTS.search(name):
      raise CheckpointError(
        f'{where} has a tensor {name}, which a {architecture.kind} of its '
        'config.json has no place for; take the config.json that belongs to it'
      )
  there = set(names.values())
  missing = [
    name
    for name, tensor in expected.items()
    if not tensor.optional and name not in there
  ]
  if missing:
    raise CheckpointError(
      f'{where} has no tensor {missing[0]}'
      + (f', nor {len(missing) - 1} more' if len(missing) > 1 else '')
      + f', which a {architecture.kind} of its config.json needs; download it '
      'again, or take the config.json that belongs to it'
    )
  for name, full in names.items():
    if tuple(shapes[name]) != expected[full].shape:
      raise CheckpointError(
        f'{where}: the tensor {name} is {list(shapes[name])}, and its '
        f'config.json says {list(expected[full].shape)}; take the '
        'config.json that belongs to it'
      )
  return names
