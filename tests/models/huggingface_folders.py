"""Small models of every architecture, drawn, and written as folders."""

import json
import pathlib

import jax
import numpy as np

from rlhf_jax.models import TransformerConfig, huggingface, language_model
from rlhf_jax.models.huggingface import architectures

SMALL = {
  'vocab_size': 23,
  'hidden_size': 12,
  'num_hidden_layers': 3,
  'num_attention_heads': 4,
  'num_key_value_heads': 2,
  'head_dim': 4,
  'intermediate_size': 10,
  'max_position_embeddings': 32,
}
ROPE3 = {
  'rope_type': 'llama3',
  'factor': 4.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 8,
}
YARN = {'type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 8}
# config.json of each architecture, with what is particular to it.
CONFIGS = {
  'llama': SMALL | {'rope_scaling': ROPE3, 'mlp_bias': True},
  'llama of biases': SMALL | {'attention_bias': True, 'rope_scaling': YARN},
  'mistral': SMALL | {'sliding_window': 3},
  'qwen2': SMALL
  | {
    'hidden_size': 16,
    'use_sliding_window': True,
    'sliding_window': 3,
    'max_window_layers': 1,
  },
  'qwen3': SMALL | {'tie_word_embeddings': True},
  'gemma': SMALL | {'hidden_act': 'gelu', 'hidden_activation': None},
  'gemma2': SMALL | {'query_pre_attn_scalar': 5, 'sliding_window': 3},
  'gemma3_text': SMALL | {'sliding_window': 3, 'sliding_window_pattern': 2},
  'phi3': SMALL | {'hidden_size': 16, 'partial_rotary_factor': 0.5},
  'gpt2': {
    'vocab_size': 23,
    'n_positions': 32,
    'n_embd': 12,
    'n_layer': 3,
    'n_head': 3,
  },
  'gpt_neox': SMALL | {'rotary_pct': 0.5, 'hidden_size': 16},
  'opt': SMALL | {'hidden_size': 16, 'ffn_dim': 10},
}


def config(name: str) -> TransformerConfig:
  """The config of one of CONFIGS."""
  said = CONFIGS[name] | {'model_type': name.split()[0]}
  return architectures.of_json(said).read(said)


def drawn(config: TransformerConfig, seed: int = 0):
  """Parameters, norms and biases among them away from 1 and 0."""
  draw = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: x + 0.2 * draw.normal(size=x.shape).astype(x.dtype),
    language_model(config).init(jax.random.key(seed)),
  )


def made(folder: pathlib.Path, name: str = 'llama') -> pathlib.Path:
  """A folder of one of CONFIGS."""
  own = config(name)
  huggingface.write(folder, own, drawn(own))
  return folder


def edit(folder: pathlib.Path, **values) -> None:
  """Changes config.json."""
  path = folder / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | values))
