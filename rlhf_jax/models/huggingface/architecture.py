"""What a table of an architecture is, and what several of them share."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import fields
from rlhf_jax.models.huggingface.fields import Json
from rlhf_jax.models.huggingface.safetensors import CheckpointError

# Tensors by name; {} is the layer. What a config has no parameter for is not in
# its files: the bias of a projection, the norm of a head.
Table = Mapping[str, Mapping[str, str]]

EMBEDDING = {'embedding': 'V D -> V D'}
UNEMBEDDING = {'unembedding': 'V D -> D V'}


def scale(norm: str) -> Mapping[str, str]:
  """The scale of a norm of ours."""
  return {f'{norm}/scale': 'D -> D'}


def layer_norm(theirs: str, ours: str) -> Table:
  """A norm with a bias, by the names of both."""
  return {
    f'{theirs}.weight': {f'{ours}/scale': 'D -> D'},
    f'{theirs}.bias': {f'{ours}/bias': 'D -> D'},
  }


def stacked(prefix: str, own: Table) -> Table:
  """The tensors of a layer as those of every layer."""
  return {
    f'{prefix}.{{}}.{name}': {f'layers/{k}': v for k, v in pieces.items()}
    for name, pieces in own.items()
  }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
  """How an architecture of transformers is said with ours.

  Attributes:
    kind: `model_type` in config.json.
    name: of its classes, before ForSequenceClassification.
    causal: how the class of a language model ends.
    base: the prefix of all tensors but the read-out; files may lack it.
    keys: dotted names of ours by keys of config.json.
    defaults: of keys that config.json may lack; None says that it is derived.
    fixed: values by dotted name that config.json does not say.
    allowed: what a key may say, where other values are not known here.
    reads: what needs more than a name: (config.json, what was read so far) ->
      values by dotted name.
    writes: the same backwards: config -> keys of config.json.
    tensors: by name.
  """

  kind: str
  name: str
  causal: str = 'ForCausalLM'
  base: str
  keys: Mapping[str, str]
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  allowed: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
  reads: Callable[[Json, dict], dict]
  writes: Callable[[TransformerConfig], dict]
  tensors: Table

  def read(self, json: Json) -> TransformerConfig:
    """The config that config.json describes.

    Raises:
      ValueError: it says what is not known here.
    """
    for key, values in self.allowed.items():
      found = json.get(key, values[0])
      if found not in values:
        raise CheckpointError(
          f'{key} is {found!r}, and only {values[0]!r} is known for {self.kind}'
        )
    parts = dict(self.fixed)
    for key, name in self.keys.items():
      found = json.get(key)
      if found is None and key not in self.defaults:
        raise CheckpointError(f'there is no {key}')
      found = self.defaults[key] if found is None else found
      if name == 'mlp.activation':
        found = fields.activation(found)
      parts[name] = found
    parts['kv_heads'] = parts.get('kv_heads') or parts['heads']
    if not parts.get('head_width'):
      each = parts['width'] // parts['heads']
      parts['head_width'] = json.get('head_dim') or each
    parts |= self.reads(json, parts)
    return fields.config(parts)

  def json_of(self, config: TransformerConfig) -> dict[str, Any] | None:
    """config.json of a config; None if this architecture cannot be it."""
    json = {'model_type': self.kind}
    for key, name in self.keys.items():
      found = fields.value(config, name)
      if name == 'mlp.activation':
        found = fields.activation_name(found)
      json[key] = found
    try:  # What a config lacks, or has too much of, shows in either.
      json |= self.writes(config)
      again = self.read(json)
    except (ValueError, AttributeError, TypeError):
      return None
    return json if fields.same_shape(again, config) else None
