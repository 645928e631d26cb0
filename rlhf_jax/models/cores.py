"""What computes attention within rows: one function for each way, and a choice.

Each is called once for the rows (config, attention_mask [B, T], segment_ids
[B, T] or None), and gives a function (queries [B, T, H, d], keys [B, T, G, d],
values [B, T, G, d], kind of sight) -> [B, T, H, d]. All compute the same: that
of `attention.attend` over `attention.visible_keys`.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import sharding
from rlhf_jax.models import attention, blocks
from rlhf_jax.models.config import TransformerConfig

Mix = Callable[..., chex.Array]
Core = Callable[[TransformerConfig, chex.Array, chex.Array | None], Mix]

# Rows of fewer tokens hold their scores. On a CPU, in chunks a step of SFT of
# 5 M parameters takes 0.91 of the time at 128 tokens and 0.83 at 256, and as
# long at 64 (`tests/benchmarks/README.md`).
LONG = 512
LONG_ON_CPU = 128


def core_for(length: int) -> Core:
  """The way for rows of so many tokens, on the platform of the mesh."""
  platform = sharding.platform()
  if length < (LONG_ON_CPU if platform == 'cpu' else LONG):
    return plain
  return splash if platform == 'tpu' else in_blocks


def plain(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None,
) -> Mix:
  """All scores at once."""
  visible = attention.visible_keys(attention_mask, segment_ids)
  columns = jnp.arange(attention_mask.shape[1])
  windows = config.windows

  def mix(queries, keys, values, kind):
    seen = visible
    if windows != (None,):
      each = jnp.asarray([len(columns) if w is None else w for w in windows])
      seen = visible & attention.near(columns, columns, each[kind])[None]
    return attention.attend(queries, keys, values, seen, config.attention)

  return mix


def in_blocks(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None,
) -> Mix:
  """In chunks of queries (`blocks`): memory grows with the length alone."""

  def mix(queries, keys, values, kind):
    rows = blocks.Rows(attention_mask, segment_ids, kind)
    return blocks.attend(
      queries, keys, values, rows, config.windows, config.attention
    )

  return mix


def splash(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None,
) -> Mix:
  """On a TPU: jax's splash attention, in one kernel on each device."""
  # Its kernels are slow to import, and of use on a TPU alone.
  from rlhf_jax.models import splash_attention

  return splash_attention.mixing(config, attention_mask, segment_ids)


def cudnn(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None,
) -> Mix:
  """On a GPU: cuDNN's attention, in bfloat16.

  It reads which keys are visible, [B, T, T], from memory: rows may be padded on
  either side, and packed.

  Raises:
    ValueError: the config asks for what cuDNN has not.
  """
  if config.attention.softcap is not None or len(config.sights) > 1:
    raise ValueError(
      'attention_core=cudnn has no cap of scores and no layers of several '
      'windows; leave it out, or set it to rlhf_jax.models.cores.in_blocks'
    )
  (window,) = config.windows
  visible = attention.visible_keys(attention_mask, segment_ids)
  if window is not None:
    columns = jnp.arange(attention_mask.shape[1])
    visible &= attention.near(columns, columns, window)[None]

  def mix(queries, keys, values, kind):
    del kind
    return jax.nn.dot_product_attention(
      queries,
      keys,
      values,
      mask=visible[:, None],
      scale=config.attention.scale,
      implementation='cudnn',
    )

  return mix
