"""Sizes of models. The vocabulary comes from the tokenizer."""

import dataclasses

from jax import checkpoint_policies

from rlhf_jax.models.config import Norm, TransformerConfig
from rlhf_jax.models.rotary import Rotary


def sandbox(vocab_size: int) -> TransformerConfig:
  """0.1 M parameters beside the vocabulary: seconds to train on two cores."""
  return TransformerConfig(
    vocab_size=vocab_size,
    layers=2,
    width=64,
    heads=4,
    kv_heads=4,
    head_width=16,
    mlp_width=192,
  )


def small_text(vocab_size: int) -> TransformerConfig:
  """3 M parameters beside the vocabulary: real text in small byte-level BPE."""
  return TransformerConfig(
    vocab_size=vocab_size,
    layers=4,
    width=256,
    heads=8,
    kv_heads=4,
    head_width=32,
    mlp_width=704,
  )


def llama_1b(vocab_size: int = 128_256) -> TransformerConfig:
  """The shape of Llama 3.2 1B: 1.2 G parameters, embeddings tied."""
  return TransformerConfig(
    vocab_size=vocab_size,
    layers=16,
    width=2048,
    heads=32,
    kv_heads=8,
    head_width=64,
    mlp_width=8192,
    rotary=Rotary(base=500_000.0),
    norm=Norm(epsilon=1e-5),
    compute_dtype='bfloat16',
    remat=checkpoint_policies.nothing_saveable,
  )


def llama_8b(vocab_size: int = 128_256) -> TransformerConfig:
  """The shape of Llama 3.1 8B: 8.0 G parameters."""
  return dataclasses.replace(
    llama_1b(vocab_size),
    layers=32,
    width=4096,
    head_width=128,
    mlp_width=14_336,
    tied_embeddings=False,
  )
