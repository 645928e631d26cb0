"""One table for each architecture: its fields and tensors, and ours."""

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

_EMBEDDING = {'embedding': 'V D -> V D'}
_UNEMBEDDING = {'unembedding': 'V D -> D V'}


def _scale(norm):
  return {f'{norm}/scale': 'D -> D'}


def _bias(norm):
  return {f'{norm}/bias': 'D -> D'}


def _decoder(
  *, mlp_norm: str, more: Mapping[str, str] | None = None
) -> dict[str, Mapping[str, str]]:
  """Llama's names, and those of all who took them over."""
  norms = {
    'input_layernorm': 'attention_norm',
    mlp_norm: 'mlp_norm',
    **(more or {}),
  }
  own = {
    'self_attn.q_proj.weight': {'attention/query': '(H K) D -> D H K'},
    'self_attn.k_proj.weight': {'attention/key': '(G K) D -> D G K'},
    'self_attn.v_proj.weight': {'attention/value': '(G K) D -> D G K'},
    'self_attn.o_proj.weight': {'attention/output': 'D (H K) -> H K D'},
    'self_attn.q_proj.bias': {'attention/query_bias': '(H K) -> H K'},
    'self_attn.k_proj.bias': {'attention/key_bias': '(G K) -> G K'},
    'self_attn.v_proj.bias': {'attention/value_bias': '(G K) -> G K'},
    'self_attn.o_proj.bias': {'attention/output_bias': 'D -> D'},
    'self_attn.q_norm.weight': {'attention/query_norm/scale': 'K -> K'},
    'self_attn.k_norm.weight': {'attention/key_norm/scale': 'K -> K'},
    'mlp.gate_proj.weight': {'mlp/gate_and_up': 'I D -> D 0/2 I'},
    'mlp.up_proj.weight': {'mlp/gate_and_up': 'I D -> D 1/2 I'},
    'mlp.down_proj.weight': {'mlp/down': 'D I -> I D'},
    'mlp.gate_proj.bias': {'mlp/gate_and_up_bias': 'I -> 0/2 I'},
    'mlp.up_proj.bias': {'mlp/gate_and_up_bias': 'I -> 1/2 I'},
    'mlp.down_proj.bias': {'mlp/down_bias': 'D -> D'},
    **{f'{theirs}.weight': _scale(ours) for theirs, ours in norms.items()},
  }
  return {
    'model.embed_tokens.weight': _EMBEDDING,
    'model.norm.weight': _scale('final_norm'),
    'lm_head.weight': _UNEMBEDDING,
    **_stacked('model.layers', own),
  }


def _stacked(prefix, own):
  return {
    f'{prefix}.{{}}.{name}': {f'layers/{k}': v for k, v in pieces.items()}
    for name, pieces in own.items()
  }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
  """How an architecture of transformers is said with ours.

  Attributes:
    kind: `model_type` in config.json.
    name: of its classes, before ForCausalLM.
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
      if found not in values and found != json.get(values[-1], object()):
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

  def write(self, config: TransformerConfig) -> dict[str, Any] | None:
    """config.json of a config; None if this architecture cannot be it."""
    json = {'model_type': self.kind}
    for key, name in self.keys.items():
      found = fields.value(config, name)
      if name == 'mlp.activation':
        found = fields.activation_name(found)
      json[key] = found
    try:
      json |= self.writes(config)
      again = self.read(json)
    except (ValueError, AttributeError, TypeError):
      return None
    return json if fields.same_shape(again, config) else None


_LLAMA_KEYS = {
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
_LLAMA_DEFAULTS = {
  'num_key_value_heads': None,
  'head_dim': None,
  'rms_norm_eps': 1e-6,
  'tie_word_embeddings': False,
  'hidden_act': 'silu',
  'attention_bias': False,
  'mlp_bias': False,
}
_HEADS = {'head_dim': 'head_width'}
_CAUSAL = {'use_bidirectional_attention': (None, False)}
_ROOM = {'max_position_embeddings': 8192}  # Nothing here is bound by it.


def _turning(json, parts, **options):
  return {'rotary': fields.rotary(json, parts['head_width'], **options)}


def _llama_reads(json, parts):
  """Rotation; the output has a bias where queries have."""
  return _turning(json, parts) | {
    'attention.output_bias': parts['attention.bias']
  }


def _llama_writes(config):
  return _ROOM | fields.rotary_json(config.rotary, config.head_width)


LLAMA = Architecture(
  kind='llama',
  name='Llama',
  base='model.',
  keys=_LLAMA_KEYS
  | _HEADS
  | {'attention_bias': 'attention.bias', 'mlp_bias': 'mlp.bias'},
  defaults=_LLAMA_DEFAULTS,
  reads=_llama_reads,
  writes=_llama_writes,
  tensors=_decoder(mlp_norm='post_attention_layernorm'),
)


def _windowed(default, **options):
  """All layers have the window that is said, `default` where none is."""

  def reads(json, parts):
    own = _turning(json, parts, **options)
    window = json.get('sliding_window', default)
    layers = [True] * parts['layers']
    return own | {'local': fields.local(window, layers, own['rotary'])}

  return reads


def _windowed_writes(config):
  rotary = config.local.rotary if config.local else config.rotary
  window = config.local.window if config.local else None
  return (
    _ROOM
    | {'sliding_window': window}
    | fields.rotary_json(rotary, config.head_width)
  )


MISTRAL = Architecture(
  kind='mistral',
  name='Mistral',
  base='model.',
  keys=_LLAMA_KEYS | _HEADS,
  defaults=_LLAMA_DEFAULTS | {'num_key_value_heads': 8},
  reads=_windowed(4096),
  writes=_windowed_writes,
  tensors=LLAMA.tensors,
)

PHI3 = Architecture(
  kind='phi3',
  name='Phi3',
  base='model.',
  keys=_LLAMA_KEYS,
  defaults=_LLAMA_DEFAULTS | {'rms_norm_eps': 1e-5},
  reads=_windowed(None, share=1.0),
  writes=_windowed_writes,
  tensors={
    name: pieces
    for name, pieces in LLAMA.tensors.items()
    if not any(part in name for part in ('_proj.bias', 'q_', 'k_', 'v_', 'up_'))
    and 'gate_' not in name
  }
  | _stacked(
    'model.layers',
    {
      'self_attn.qkv_proj.weight': {
        'attention/query': '(FQ K) D -> D FQ K',
        'attention/key': '(FK K) D -> D FK K',
        'attention/value': '(FV K) D -> D FV K',
      },
      'mlp.gate_up_proj.weight': {'mlp/gate_and_up': '(2 I) D -> D 2 I'},
    },
  ),
)


def _qwen_reads(json, parts):
  own = _turning(json, parts)
  first = json.get('max_window_layers', 28)
  window = json.get('sliding_window', 4096)
  if not json.get('use_sliding_window', False):
    window = None
  layers = fields.of_types(json, lambda layer: layer >= first)
  own['local'] = fields.local(window, layers, own['rotary'])
  if 'attention_bias' in json:
    own['attention.output_bias'] = parts.get('attention.bias', False)
  return own


def _qwen_writes(config):
  return (
    _llama_writes(config)
    | fields.types_json(config)
    | {'use_sliding_window': config.local is not None}
  )


QWEN2 = Architecture(
  kind='qwen2',
  name='Qwen2',
  base='model.',
  keys=_LLAMA_KEYS,
  defaults=_LLAMA_DEFAULTS | {'num_key_value_heads': 32},
  fixed={'attention.bias': True},
  allowed={'attention_bias': (True,)},
  reads=lambda json, parts: _qwen_reads(
    {k: v for k, v in json.items() if k != 'attention_bias'}, parts
  ),
  writes=_qwen_writes,
  tensors=LLAMA.tensors,
)

QWEN3 = Architecture(
  kind='qwen3',
  name='Qwen3',
  base='model.',
  keys=_LLAMA_KEYS | _HEADS | {'attention_bias': 'attention.bias'},
  defaults=_LLAMA_DEFAULTS | {'num_key_value_heads': 32, 'head_dim': 128},
  fixed={'attention.norms': True},
  reads=_qwen_reads,
  writes=_qwen_writes,
  tensors=LLAMA.tensors,
)

_GEMMA = {'norm.from_one': True, 'scaled_embedding': True}
_GEMMA_DEFAULTS = _LLAMA_DEFAULTS | {
  'tie_word_embeddings': True,
  'head_dim': 256,
  'hidden_act': 'gelu_pytorch_tanh',
  'hidden_activation': 'gelu_pytorch_tanh',
}


def _gemma_reads(json, parts):
  name = json.get('hidden_activation') or json.get('hidden_act')
  if name in (None, 'gelu'):  # The first Gemma's files mean the other one.
    name = 'gelu_pytorch_tanh'
  return _llama_reads(json, parts) | {'mlp.activation': fields.activation(name)}


GEMMA = Architecture(
  kind='gemma',
  name='Gemma',
  base='model.',
  keys=_LLAMA_KEYS | _HEADS | {'attention_bias': 'attention.bias'},
  defaults=_GEMMA_DEFAULTS | {'num_key_value_heads': 16},
  fixed=_GEMMA,
  allowed=_CAUSAL,
  reads=_gemma_reads,
  writes=_llama_writes,
  tensors=LLAMA.tensors,
)

_GEMMA2_KEYS = {
  'hidden_activation' if key == 'hidden_act' else key: name
  for key, name in GEMMA.keys.items()
}
_FOUR_NORMS = _decoder(
  mlp_norm='pre_feedforward_layernorm',
  more={
    'post_attention_layernorm': 'attention_output_norm',
    'post_feedforward_layernorm': 'mlp_output_norm',
  },
)


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
  return _ROOM | {
    'query_pre_attn_scalar': _whole(scalar),
    'attn_logit_softcapping': config.attention.softcap,
    'final_logit_softcapping': config.logit_softcap,
  }


def _whole(number):
  """A number that rounding has moved from a whole one, as that one."""
  near = round(number)
  return near if abs(number - near) < 1e-6 * near else number


def _gemma2_reads(json, parts):
  own = _turning(json, parts)
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
  keys=_GEMMA2_KEYS,
  defaults=_GEMMA_DEFAULTS | {'num_key_value_heads': 4},
  fixed=_GEMMA | {'residual.output_norms': True},
  allowed=_CAUSAL,
  reads=_gemma2_reads,
  writes=_gemma2_writes,
  tensors=_FOUR_NORMS,
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


GEMMA3 = Architecture(
  kind='gemma3_text',
  name='Gemma3',
  base='model.',
  keys=_GEMMA2_KEYS,
  defaults=_GEMMA_DEFAULTS | {'num_key_value_heads': 4},
  fixed=GEMMA2.fixed | {'attention.norms': True},
  allowed=_CAUSAL,
  reads=_gemma3_reads,
  writes=_gemma3_writes,
  tensors=_FOUR_NORMS,
)


def _gpt2_reads(json, parts):
  own = {} if parts['mlp_width'] else {'mlp_width': 4 * parts['width']}
  scaled = json.get('scale_attn_weights', True)
  return own | {'attention.scale': None if scaled else 1.0}


GPT2 = Architecture(
  kind='gpt2',
  name='GPT2',
  base='transformer.',
  keys={
    'vocab_size': 'vocab_size',
    'n_positions': 'positions.count',
    'n_embd': 'width',
    'n_layer': 'layers',
    'n_head': 'heads',
    'n_inner': 'mlp_width',
    'activation_function': 'mlp.activation',
    'layer_norm_epsilon': 'norm.epsilon',
    'tie_word_embeddings': 'tied_embeddings',
  },
  defaults={
    'n_inner': None,
    'activation_function': 'gelu_new',
    'layer_norm_epsilon': 1e-5,
    'tie_word_embeddings': True,
  },
  fixed={
    'norm.centred': True,
    'rotary': None,
    'attention.bias': True,
    'attention.output_bias': True,
    'mlp.gated': False,
    'mlp.bias': True,
  },
  allowed={
    'scale_attn_by_inverse_layer_idx': (False,),
    'add_cross_attention': (False,),
  },
  reads=_gpt2_reads,
  writes=lambda config: {'scale_attn_weights': config.attention.scale is None},
  tensors={
    'transformer.wte.weight': _EMBEDDING,
    'transformer.wpe.weight': {'positions': 'P D -> P D'},
    'transformer.ln_f.weight': _scale('final_norm'),
    'transformer.ln_f.bias': _bias('final_norm'),
    'lm_head.weight': _UNEMBEDDING,
    **_stacked(
      'transformer.h',
      {
        'ln_1.weight': _scale('attention_norm'),
        'ln_1.bias': _bias('attention_norm'),
        'ln_2.weight': _scale('mlp_norm'),
        'ln_2.bias': _bias('mlp_norm'),
        'attn.c_attn.weight': {
          'attention/query': 'D (FQ K) -> D FQ K',
          'attention/key': 'D (FK K) -> D FK K',
          'attention/value': 'D (FV K) -> D FV K',
        },
        'attn.c_attn.bias': {
          'attention/query_bias': '(FQ K) -> FQ K',
          'attention/key_bias': '(FK K) -> FK K',
          'attention/value_bias': '(FV K) -> FV K',
        },
        'attn.c_proj.weight': {'attention/output': '(H K) D -> H K D'},
        'attn.c_proj.bias': {'attention/output_bias': 'D -> D'},
        'mlp.c_fc.weight': {'mlp/up': 'D I -> D I'},
        'mlp.c_fc.bias': {'mlp/up_bias': 'I -> I'},
        'mlp.c_proj.weight': {'mlp/down': 'I D -> I D'},
        'mlp.c_proj.bias': {'mlp/down_bias': 'D -> D'},
      },
    ),
  },
)


def _neox_reads(json, parts):
  old = {'rope_theta': json.get('rotary_emb_base', 10_000.0)} | dict(json)
  share = json.get('rotary_pct', 0.25)
  return _turning(old, parts, share=share) | {
    'attention.output_bias': parts['attention.bias']
  }


def _neox_writes(config):
  turned = config.rotary.width or config.head_width
  share = turned / config.head_width
  return _llama_writes(config) | {
    'partial_rotary_factor': share,
    'rotary_pct': share,
    'rotary_emb_base': config.rotary.base,
  }


GPT_NEOX = Architecture(
  kind='gpt_neox',
  name='GPTNeoX',
  base='gpt_neox.',
  keys={
    'vocab_size': 'vocab_size',
    'hidden_size': 'width',
    'num_hidden_layers': 'layers',
    'num_attention_heads': 'heads',
    'intermediate_size': 'mlp_width',
    'hidden_act': 'mlp.activation',
    'layer_norm_eps': 'norm.epsilon',
    'tie_word_embeddings': 'tied_embeddings',
    'use_parallel_residual': 'residual.parallel',
    'attention_bias': 'attention.bias',
  },
  defaults={
    'hidden_act': 'gelu',
    'layer_norm_eps': 1e-5,
    'tie_word_embeddings': False,
    'use_parallel_residual': True,
    'attention_bias': True,
  },
  fixed={'norm.centred': True, 'mlp.gated': False, 'mlp.bias': True},
  reads=_neox_reads,
  writes=_neox_writes,
  tensors={
    'gpt_neox.embed_in.weight': _EMBEDDING,
    'gpt_neox.final_layer_norm.weight': _scale('final_norm'),
    'gpt_neox.final_layer_norm.bias': _bias('final_norm'),
    'embed_out.weight': _UNEMBEDDING,
    **_stacked(
      'gpt_neox.layers',
      {
        'input_layernorm.weight': _scale('attention_norm'),
        'input_layernorm.bias': _bias('attention_norm'),
        'post_attention_layernorm.weight': _scale('mlp_norm'),
        'post_attention_layernorm.bias': _bias('mlp_norm'),
        'attention.query_key_value.weight': {
          'attention/query': '(H 0/3 K) D -> D H K',
          'attention/key': '(H 1/3 K) D -> D H K',
          'attention/value': '(H 2/3 K) D -> D H K',
        },
        'attention.query_key_value.bias': {
          'attention/query_bias': '(H 0/3 K) -> H K',
          'attention/key_bias': '(H 1/3 K) -> H K',
          'attention/value_bias': '(H 2/3 K) -> H K',
        },
        'attention.dense.weight': {'attention/output': 'D (H K) -> H K D'},
        'attention.dense.bias': {'attention/output_bias': 'D -> D'},
        'mlp.dense_h_to_4h.weight': {'mlp/up': 'I D -> D I'},
        'mlp.dense_h_to_4h.bias': {'mlp/up_bias': 'I -> I'},
        'mlp.dense_4h_to_h.weight': {'mlp/down': 'D I -> I D'},
        'mlp.dense_4h_to_h.bias': {'mlp/down_bias': 'D -> D'},
      },
    ),
  },
)


OPT = Architecture(
  kind='opt',
  name='OPT',
  base='model.',
  keys={
    'vocab_size': 'vocab_size',
    'max_position_embeddings': 'positions.count',
    'hidden_size': 'width',
    'num_hidden_layers': 'layers',
    'num_attention_heads': 'heads',
    'ffn_dim': 'mlp_width',
    'activation_function': 'mlp.activation',
    'tie_word_embeddings': 'tied_embeddings',
    'enable_bias': 'attention.bias',
  },
  defaults={
    'activation_function': 'relu',
    'tie_word_embeddings': True,
    'enable_bias': True,
  },
  fixed={
    'norm.centred': True,
    'norm.epsilon': 1e-5,
    'rotary': None,
    'positions.offset': 2,
    'mlp.gated': False,
  },
  allowed={
    'do_layer_norm_before': (True,),
    'layer_norm_elementwise_affine': (True,),
    '_remove_final_layer_norm': (False,),
    'word_embed_proj_dim': (None, 'hidden_size'),
  },
  reads=lambda json, parts: {
    'attention.output_bias': parts['attention.bias'],
    'mlp.bias': parts['attention.bias'],
  },
  writes=lambda config: {},
  tensors={
    'model.decoder.embed_tokens.weight': _EMBEDDING,
    'model.decoder.embed_positions.weight': {'positions': 'P D -> P D'},
    'model.decoder.final_layer_norm.weight': _scale('final_norm'),
    'model.decoder.final_layer_norm.bias': _bias('final_norm'),
    'lm_head.weight': _UNEMBEDDING,
    **_stacked(
      'model.decoder.layers',
      {
        'self_attn_layer_norm.weight': _scale('attention_norm'),
        'self_attn_layer_norm.bias': _bias('attention_norm'),
        'final_layer_norm.weight': _scale('mlp_norm'),
        'final_layer_norm.bias': _bias('mlp_norm'),
        'self_attn.q_proj.weight': {'attention/query': '(H K) D -> D H K'},
        'self_attn.k_proj.weight': {'attention/key': '(H K) D -> D H K'},
        'self_attn.v_proj.weight': {'attention/value': '(H K) D -> D H K'},
        'self_attn.out_proj.weight': {'attention/output': 'D (H K) -> H K D'},
        'self_attn.q_proj.bias': {'attention/query_bias': '(H K) -> H K'},
        'self_attn.k_proj.bias': {'attention/key_bias': '(H K) -> H K'},
        'self_attn.v_proj.bias': {'attention/value_bias': '(H K) -> H K'},
        'self_attn.out_proj.bias': {'attention/output_bias': 'D -> D'},
        'fc1.weight': {'mlp/up': 'I D -> D I'},
        'fc1.bias': {'mlp/up_bias': 'I -> I'},
        'fc2.weight': {'mlp/down': 'D I -> I D'},
        'fc2.bias': {'mlp/down_bias': 'D -> D'},
      },
    ),
  },
)

KNOWN = (
  LLAMA,
  MISTRAL,
  QWEN2,
  QWEN3,
  GEMMA,
  GEMMA2,
  GEMMA3,
  PHI3,
  GPT2,
  GPT_NEOX,
  OPT,
)


def of_json(json: Json) -> Architecture:
  """The architecture that config.json names.

  Raises:
    CheckpointError: it is none of ours, or its tensors are quantised.
  """
  kind = json.get('model_type')
  found = next((a for a in KNOWN if a.kind == kind), None)
  if found is None:
    raise CheckpointError(
      f'the architecture {kind!r} is not known; there are '
      f'{", ".join(a.kind for a in KNOWN)}'
    )
  if json.get('quantization_config'):
    raise CheckpointError(
      'its tensors are quantised; take the model that it was made from'
    )
  return found


def of_config(config: TransformerConfig) -> tuple[Architecture, dict[str, Any]]:
  """The first architecture that a config can be said as, and its config.json.

  Raises:
    CheckpointError: there is none.
  """
  for architecture in KNOWN:
    json = architecture.write(config)
    if json is not None:
      return architecture, json
  raise CheckpointError(
    'no architecture of transformers computes what this config says; export '
    'needs one of ' + ', '.join(a.kind for a in KNOWN)
  )
