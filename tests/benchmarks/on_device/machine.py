"""What a device can do at most: measured, and as its maker says."""

import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

# (what the name of a device has in it, bfloat16 FLOP/s, bytes/s), the first
# that fits; of one chip, dense, as the makers' data sheets say.
PUBLISHED = (
  ('H200', 989e12, 4.8e12),
  ('H100', 989e12, 3.35e12),
  ('A100', 312e12, 2.0e12),
  ('L40S', 362e12, 0.86e12),
  ('L4', 121e12, 0.3e12),
  ('T4', 65e12, 0.32e12),
  ('TPU v6', 918e12, 1.64e12),
  ('TPU v5p', 459e12, 2.77e12),
  ('TPU v5', 197e12, 0.82e12),
  ('TPU v4', 275e12, 1.23e12),
)


def seconds(step: Callable[[], object], repeats: int) -> float:
  """Median seconds of a step, after one that is not counted."""
  jax.block_until_ready(step())
  spent = []
  for _ in range(repeats):
    began = time.perf_counter()
    jax.block_until_ready(step())
    spent.append(time.perf_counter() - began)
  return statistics.median(spent)


def product_flops(size: int, repeats: int) -> float:
  """FLOP/s of bfloat16 products of size³, a chain of eight at a time."""
  key = jax.random.key(0)
  left, right = jax.random.normal(key, (2, size, size), jnp.bfloat16)

  @jax.jit
  def chain(left, right):
    for _ in range(8):
      left = (left @ right) * size**-0.5
    return left

  spent = seconds(lambda: chain(left, right), repeats)
  return 8 * 2 * size**3 / spent


def bandwidth(size: int, repeats: int) -> float:
  """Bytes/s read, of a sum over `size` bytes in bfloat16."""
  array = jnp.ones(size // 2, jnp.bfloat16)
  total = jax.jit(functools.partial(jnp.sum, dtype=jnp.float32))
  return size / seconds(lambda: total(array), repeats)


def peaks_of(kind: str) -> tuple[float, float] | None:
  """Published FLOP/s and bytes/s of a kind of device, where they are known."""
  return next((tuple(n) for name, *n in PUBLISHED if name in kind), None)


def peak_bytes() -> int | None:
  """The most memory of the first device so far, where it tells."""
  stats = jax.devices()[0].memory_stats() or {}
  return stats.get('peak_bytes_in_use')


def said(error: Exception) -> str:
  """An error in a line."""
  lines = f'{type(error).__name__}: {error}'.splitlines()
  return f'failed: {lines[0][:200]}'
