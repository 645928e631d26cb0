"""Gemma 1, 2 and 3: norms from one, soft caps, local layers."""

import dataclasses

from rlhf_jax.models.huggingface import fields, llama
from rlhf_jax.models.huggingface.architecture import Architecture

_CAUSAL = {'use_bidirectional_attention': (None, False)}
_GEMMA = {'norm.from_one': True, 'scaled_embedding': True}
_GEMMA_DEFAULTS = llama.DEFAULTS | {
  'tie_word_embeddings': True,
  'head_dim': 256,
  'hidden_act': 'gelu_pytorch_tanh',
  'hidden_activation': 'gelu_pytorch_tanh',
}


def _gemma_reads(json, parts):
  name = json.get('hidden_activation') or json.get('hidden_act')
  if name in (None, 'gelu'):  # The first Gemma's files mean the other one.
    name = 'gelu_pytorch_tanh'
  return llama.reads(json, parts) | {'mlp.activation': fields.activation(name)}


GEMMA = Architecture(
  kind='gemma',
  name='Gemma',
  base='model.',
  keys=llama.KEYS | llama.HEADS | {'attention_bias': 'attention.bias'},
  defaults=_GEMMA_DEFAULTS | {'num_key_value_heads': 16},
  fixed=_GEMMA,
  allowed=_CAUSAL,
  reads=_gemma_reads,
  writes=llama.writes,
  tensors=llama.TENSORS,
)

_FOUR_NORMS = {
  'input_layernorm': 'attention_norm',
  'post_attention_layernorm': 'attention_output_norm',
  'pre_feedforward_layernorm': 'mlp_norm',
  'post_feedforward_layernorm': 'mlp_output_norm',
}


def _capped(json, parts, *, final, attention):
  scalar = json.get('query_pre_attn_scalar', 256)
  return {
    'attention.output_bias': parts['attention.bias'],
    'attention.scale': float(scalar) ** -0.5,
    'attention.softcap': json.get('attn_logit_softcapping', attention),
    'logit_softcap': json.get('final_logit_softcapping', final),
  }


def _capped_writes(config):
  scale = config.attention.scale or config.head_width**-0.5
  scalar = scale**-2
  return llama.ROOM | {
    'query_pre_attn_scalar': _whole(scalar),
    'attn_logit_softcapping': config.attention.softcap,
    'final_logit_softcapping': config.logit_softcap,
  }


def _whole(number):
  """A number that rounding has moved from a whole one, as that one."""
  near = round(number)
  return near if abs(number - near) < 1e-6 * near else number


def _gemma2_reads(json, parts):
  own = llama.turning(json, parts)
  layers = fields.of_types(json, lambda layer: layer % 2 == 0)
  window = json.get('sliding_window', 4096)
  own['local'] = fields.local(window, layers, own['rotary'])
  return own | _capped(json, parts, final=30.0, attention=50.0)


def _gemma2_writes(config):
  return (
    _capped_writes(config)
    | fields.types_json(config)
    | fields.rotary_json(config.rotary, config.head_width)
  )


GEMMA2 = Architecture(
  kind='gemma2',
  name='Gemma2',
  base='model.',
  keys={
    'hidden_activation' if key == 'hidden_act' else key: name
    for key, name in GEMMA.keys.items()
  },
  defaults=_GEMMA_DEFAULTS | {'num_key_value_heads': 4},
  fixed=_GEMMA | {'residual.output_norms': True},
  allowed=_CAUSAL,
  reads=_gemma2_reads,
  writes=_gemma2_writes,
  tensors=llama.decoder(_FOUR_NORMS, llama.INPUTS, llama.OUTPUTS, llama.BIASES),
)


def _gemma3_reads(json, parts):
  width = parts['head_width']
  both = json.get('rope_parameters') or {}
  if 'full_attention' in both:
    turned, local = (
      fields.rotary(json | {'rope_parameters': both.get(kind)}, width)
      for kind in ('full_attention', fields.LOCAL)
    )
  else:
    turned = fields.rotary(json, width, theta=1e6)
    base = json.get('rope_local_base_freq', 10_000.0)
    local = fields.rotary({'rope_theta': base}, width)
  every = json.get(
    'sliding_window_pattern', json.get('_sliding_window_pattern', 6)
  )
  layers = fields.of_types(json, lambda layer: (layer + 1) % every != 0)
  window = json.get('sliding_window', 4096)
  return {
    'rotary': turned,
    'local': fields.local(window, layers, local),
  } | _capped(json, parts, final=None, attention=None)


def _gemma3_writes(config):
  local = config.local.rotary.base if config.local else 10_000.0
  return _gemma2_writes(config) | {'rope_local_base_freq': local}


GEMMA3 = dataclasses.replace(
  GEMMA2,
  kind='gemma3_text',
  name='Gemma3',
  fixed=GEMMA2.fixed | {'attention.norms': True},
  reads=_gemma3_reads,
  writes=_gemma3_writes,
)
