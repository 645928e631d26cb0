"""Llama, and those that took over its names: Mistral, Phi-3, Qwen 2 and 3."""

from collections.abc import Mapping
from typing import Any

from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.huggingface import fields
from rlhf_jax.models.huggingface.architecture import (
  EMBEDDING,
  UNEMBEDDING,
  Architecture,
  Table,
  scale,
  stacked,
)
from rlhf_jax.models.huggingface.fields import Json


def decoder(norms: Mapping[str, str], *own: Table) -> Table:
  """Llama's names, and those of all who took them over.

  Args:
    norms: our name of each norm of a layer, by theirs.
    own: the other tensors of a layer.
  """
  layer = {f'{theirs}.weight': scale(ours) for theirs, ours in norms.items()}
  for some in own:
    layer |= some
  return {
    'model.embed_tokens.weight': EMBEDDING,
    'model.norm.weight': scale('final_norm'),
    'lm_head.weight': UNEMBEDDING,
    **stacked('model.layers', layer),
  }


_TWO_NORMS = {
  'input_layernorm': 'attention_norm',
  'post_attention_layernorm': 'mlp_norm',
}
INPUTS = {
  'self_attn.q_proj.weight': {'attention/query': '(H K) D -> D H K'},
  'self_attn.k_proj.weight': {'attention/key': '(G K) D -> D G K'},
  'self_attn.v_proj.weight': {'attention/value': '(G K) D -> D G K'},
  'self_attn.q_norm.weight': {'attention/query_norm/scale': 'K -> K'},
  'self_attn.k_norm.weight': {'attention/key_norm/scale': 'K -> K'},
  'mlp.gate_proj.weight': {'mlp/gate_and_up': 'I D -> D 0/2 I'},
  'mlp.up_proj.weight': {'mlp/gate_and_up': 'I D -> D 1/2 I'},
}
_FUSED_INPUTS = {
  'self_attn.qkv_proj.weight': {
    'attention/query': '(FQ K) D -> D FQ K',
    'attention/key': '(FK K) D -> D FK K',
    'attention/value': '(FV K) D -> D FV K',
  },
  'mlp.gate_up_proj.weight': {'mlp/gate_and_up': '(2 I) D -> D 2 I'},
}
OUTPUTS = {
  'self_attn.o_proj.weight': {'attention/output': 'D (H K) -> H K D'},
  'mlp.down_proj.weight': {'mlp/down': 'D I -> I D'},
}
BIASES = {
  'self_attn.q_proj.bias': {'attention/query_bias': '(H K) -> H K'},
  'self_attn.k_proj.bias': {'attention/key_bias': '(G K) -> G K'},
  'self_attn.v_proj.bias': {'attention/value_bias': '(G K) -> G K'},
  'self_attn.o_proj.bias': {'attention/output_bias': 'D -> D'},
  'mlp.gate_proj.bias': {'mlp/gate_and_up_bias': 'I -> 0/2 I'},
  'mlp.up_proj.bias': {'mlp/gate_and_up_bias': 'I -> 1/2 I'},
  'mlp.down_proj.bias': {'mlp/down_bias': 'D -> D'},
}
TENSORS = decoder(_TWO_NORMS, INPUTS, OUTPUTS, BIASES)

KEYS = {
  'vocab_size': 'vocab_size',
  'hidden_size': 'width',
  'num_hidden_layers': 'layers',
  'num_attention_heads': 'heads',
  'num_key_value_heads': 'kv_heads',
  'intermediate_size': 'mlp_width',
  'rms_norm_eps': 'norm.epsilon',
  'tie_word_embeddings': 'tied_embeddings',
  'hidden_act': 'mlp.activation',
}
DEFAULTS = {
  'num_key_value_heads': None,
  'head_dim': None,
  'rms_norm_eps': 1e-6,
  'tie_word_embeddings': False,
  'hidden_act': 'silu',
  'attention_bias': False,
  'mlp_bias': False,
}
HEADS = {'head_dim': 'head_width'}
ROOM = {'max_position_embeddings': 8192}  # Nothing here is bound by it.


def turning(
  json: Json, parts: Mapping[str, Any], **options: Any
) -> dict[str, Any]:
  """The rotation that config.json says; options as of `fields.rotary`."""
  return {'rotary': fields.rotary(json, parts['head_width'], **options)}


def reads(json: Json, parts: Mapping[str, Any]) -> dict[str, Any]:
  """Rotation; the output has a bias where queries have."""
  return turning(json, parts) | {
    'attention.output_bias': parts['attention.bias']
  }


def writes(config: TransformerConfig) -> dict[str, Any]:
  """The rotation."""
  return ROOM | fields.rotary_json(config.rotary, config.head_width)


LLAMA = Architecture(
  kind='llama',
  name='Llama',
  base='model.',
  keys=KEYS
  | HEADS
  | {'attention_bias': 'attention.bias', 'mlp_bias': 'mlp.bias'},
  defaults=DEFAULTS,
  reads=reads,
  writes=writes,
  tensors=TENSORS,
)


def _windowed(default, **options):
  """All layers have the window that is said, `default` where none is."""

  def windowed(json, parts):
    own = turning(json, parts, **options)
    window = json.get('sliding_window', default)
    layers = [True] * parts['layers']
    return own | {'local': fields.local(window, layers, own['rotary'])}

  return windowed


def _windowed_writes(config):
  rotary = config.local.rotary if config.local else config.rotary
  window = config.local.window if config.local else None
  return (
    ROOM
    | {'sliding_window': window}
    | fields.rotary_json(rotary, config.head_width)
  )


MISTRAL = Architecture(
  kind='mistral',
  name='Mistral',
  base='model.',
  keys=KEYS | HEADS,
  defaults=DEFAULTS | {'num_key_value_heads': 8},
  reads=_windowed(4096),
  writes=_windowed_writes,
  tensors=TENSORS,
)

PHI3 = Architecture(
  kind='phi3',
  name='Phi3',
  base='model.',
  keys=KEYS,
  defaults=DEFAULTS | {'rms_norm_eps': 1e-5},
  reads=_windowed(None, share=1.0),
  writes=_windowed_writes,
  tensors=decoder(_TWO_NORMS, _FUSED_INPUTS, OUTPUTS),
)


def _qwen_reads(json, parts):
  own = turning(json, parts)
  first = json.get('max_window_layers', 28)
  window = json.get('sliding_window', 4096)
  if not json.get('use_sliding_window', False):
    window = None
  layers = fields.of_types(json, lambda layer: layer >= first)
  own['local'] = fields.local(window, layers, own['rotary'])
  return own


def _qwen3_reads(json, parts):
  bias = parts['attention.bias']
  return _qwen_reads(json, parts) | {'attention.output_bias': bias}


def _qwen_writes(config):
  return (
    writes(config)
    | fields.types_json(config)
    | {'use_sliding_window': config.local is not None}
  )


QWEN2 = Architecture(
  kind='qwen2',
  name='Qwen2',
  base='model.',
  keys=KEYS,
  defaults=DEFAULTS | {'num_key_value_heads': 32},
  fixed={'attention.bias': True},
  allowed={'attention_bias': (True,)},
  reads=_qwen_reads,
  writes=_qwen_writes,
  tensors=TENSORS,
)

QWEN3 = Architecture(
  kind='qwen3',
  name='Qwen3',
  base='model.',
  keys=KEYS | HEADS | {'attention_bias': 'attention.bias'},
  defaults=DEFAULTS | {'num_key_value_heads': 32, 'head_dim': 128},
  fixed={'attention.norms': True},
  reads=_qwen3_reads,
  writes=_qwen_writes,
  tensors=TENSORS,
)
