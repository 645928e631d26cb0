"""Splash attention, jax's kernel for TPUs, over the rows of a mesh."""

import functools
import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel as kernels,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_mask as masks,
)

from rlhf_jax import sharding
from rlhf_jax.models.config import TransformerConfig

LARGEST_BLOCK = 512  # Queries, and keys, that the kernel works on at once.


def mixing(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None,
  *,
  interpret: bool = False,
) -> Callable[..., chex.Array]:
  """A function of queries, keys, values and kind of sight: see `cores`.

  With `interpret` the kernel runs without a TPU, slowly.
  """
  length = attention_mask.shape[1]
  padding = -length % kernels.NUM_LANES
  # Masked tokens are a segment of their own, so that each sees itself at least.
  of = 1 if segment_ids is None else segment_ids - jnp.min(segment_ids) + 1
  segments = jnp.where(attention_mask, of, 0).astype(jnp.int32)
  segments = jnp.pad(segments, ((0, 0), (0, padding)))

  def by_head(x):
    widths = ((0, 0), (0, 0), (0, padding), (0, 0))
    return jnp.pad(jnp.swapaxes(x, 1, 2), widths)

  def mix(queries, keys, values, kind):
    scale = config.attention.scale or queries.shape[-1] ** -0.5
    queries = (queries * scale).astype(queries.dtype)
    heads = [by_head(x) for x in (queries, keys, values)]
    each = [
      functools.partial(_over_mesh, config, window, interpret)
      for window in config.windows
    ]
    if isinstance(kind, int) or len(each) == 1:
      mixed = each[kind if isinstance(kind, int) else 0](*heads, segments)
    else:
      mixed = jax.lax.switch(kind, each, *heads, segments)
    return jnp.swapaxes(mixed, 1, 2)[:, :length]

  return mix


def _over_mesh(config, window, interpret, queries, keys, values, segments):
  """[B, H, T, d]: each device computes on the rows and heads that it has."""
  mesh = jax.sharding.get_abstract_mesh()
  sizes = {a: n for a, n in mesh.shape.items() if a not in mesh.manual_axes}
  own = functools.partial(_on_device, config, window, interpret)
  if math.prod(sizes.values()) == 1:
    return own(queries, keys, values, segments)
  # As keys and values may be split; queries go with the keys that they share.
  axes = (sharding.BATCH, 'tensor', None, None)
  spec = sharding.fitting_spec(keys.shape, axes, sizes)
  return jax.shard_map(
    own,
    in_specs=(spec, spec, spec, jax.P(spec[0], None)),
    out_specs=spec,
    check_vma=False,
  )(queries, keys, values, segments)


def _on_device(config, window, interpret, queries, keys, values, segments):
  """[B, H, T, d] of the rows and heads of one device."""
  heads, length = queries.shape[1:3]
  kernel = kernels.make_splash_mha(
    masks.MultiHeadMask([_mask(length, window)] * heads),
    block_sizes=_blocks(math.gcd(length, LARGEST_BLOCK)),
    attn_logits_soft_cap=config.attention.softcap,
    head_shards=1,
    q_seq_shards=1,
    interpret=interpret,
  )
  rows = kernels.SegmentIds(segments, segments)
  return jax.vmap(kernel)(queries, keys, values, rows)


def _mask(length: int, window: int | None) -> masks.Mask:
  if window is None:
    return masks.CausalMask((length, length))
  return masks.LocalMask((length, length), (window - 1, 0), 0)


def _blocks(size: int) -> kernels.BlockSizes:
  return kernels.BlockSizes(
    block_q=size,
    block_kv=size,
    block_q_dkv=size,
    block_kv_dkv=size,
    block_q_dq=size,
    block_kv_dq=size,
  )
