"""GPT-2, GPT-NeoX (Pythia), OPT: layer norms, biases, MLPs without a gate."""

from rlhf_jax.models.huggingface import fields
from rlhf_jax.models.huggingface.architecture import (
  EMBEDDING,
  UNEMBEDDING,
  Architecture,
  layer_norm,
  stacked,
)
from rlhf_jax.models.huggingface.safetensors import CheckpointError


def _gpt2_reads(json, parts):
  own = {} if parts['mlp_width'] else {'mlp_width': 4 * parts['width']}
  scaled = json.get('scale_attn_weights', True)
  return own | {'attention.scale': None if scaled else 1.0}


GPT2 = Architecture(
  kind='gpt2',
  name='GPT2',
  causal='LMHeadModel',
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
    'transformer.wte.weight': EMBEDDING,
    'transformer.wpe.weight': {'positions': 'P D -> P D'},
    **layer_norm('transformer.ln_f', 'final_norm'),
    'lm_head.weight': UNEMBEDDING,
    **stacked(
      'transformer.h',
      {
        **layer_norm('ln_1', 'attention_norm'),
        **layer_norm('ln_2', 'mlp_norm'),
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
  return {
    'rotary': fields.rotary(old, parts['head_width'], share=share),
    'attention.output_bias': parts['attention.bias'],
  }


def _neox_writes(config):
  share = config.rotary.turned(config.head_width) / config.head_width
  return fields.rotary_json(config.rotary, config.head_width) | {
    'max_position_embeddings': 8192,  # Nothing here is bound by it.
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
    'gpt_neox.embed_in.weight': EMBEDDING,
    **layer_norm('gpt_neox.final_layer_norm', 'final_norm'),
    'embed_out.weight': UNEMBEDDING,
    **stacked(
      'gpt_neox.layers',
      {
        **layer_norm('input_layernorm', 'attention_norm'),
        **layer_norm('post_attention_layernorm', 'mlp_norm'),
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


def _opt_reads(json, parts):
  embedded = json.get('word_embed_proj_dim')
  if embedded not in (None, parts['width']):
    raise CheckpointError(
      f'word_embed_proj_dim is {embedded}, and only the width of the layers, '
      f'{parts["width"]}, is known for opt'
    )
  bias = parts['attention.bias']
  return {'attention.output_bias': bias, 'mlp.bias': bias}


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
  },
  reads=_opt_reads,
  writes=lambda config: {},
  tensors={
    'model.decoder.embed_tokens.weight': EMBEDDING,
    'model.decoder.embed_positions.weight': {'positions': 'P D -> P D'},
    **layer_norm('model.decoder.final_layer_norm', 'final_norm'),
    'lm_head.weight': UNEMBEDDING,
    **stacked(
      'model.decoder.layers',
      {
        **layer_norm('self_attn_layer_norm', 'attention_norm'),
        **layer_norm('final_layer_norm', 'mlp_norm'),
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
