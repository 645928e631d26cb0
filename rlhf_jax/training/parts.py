"""A batch cut into parts, so that less of it is in memory at once."""

import math
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import sharding


def deal(batch: chex.ArrayTree, parts: int) -> chex.ArrayTree:
  """[N, ...] -> [parts, N / parts, ...] of every array.

  Row i goes to part i mod `parts`: every device has rows of every part.

  Raises:
    ValueError: the rows do not divide into so many parts.
  """

  def cut(x):
    if x.shape[0] % parts:
      raise ValueError(
        f'a batch of {x.shape[0]} rows does not divide into {parts} '
        'micro-batches'
      )
    dealt = x.reshape((x.shape[0] // parts, parts, *x.shape[1:]))
    return jnp.swapaxes(dealt, 0, 1)

  return jax.tree.map(cut, batch)


def gather(dealt: chex.ArrayTree) -> chex.ArrayTree:
  """[parts, N / parts, ...] -> [N, ...]: each row where `deal` took it from."""

  def put(x):
    return jnp.swapaxes(x, 0, 1).reshape((-1, *x.shape[2:]))

  return jax.tree.map(put, dealt)


def size_of(rows: int, most: int, *, samples: int = 1) -> int:
  """Rows of a part, if rows are cut into so many equal parts, at most.

  Each has rows for every device of the mesh that is set, if all together do.

  Args:
    rows: of the whole; prompts, where there are samples.
    most: parts, at most.
    samples: responses to each prompt, which are what devices share.
  """
  return rows // math.gcd(rows // sharding.sharing(rows, samples), most)


def one_by_one(
  function: Callable[[Any], chex.ArrayTree], batch: chex.ArrayTree, parts: int
) -> chex.ArrayTree:
  """`in_parts` for a function on the host; waits for each part."""
  if parts == 1:
    return jax.block_until_ready(function(batch))
  dealt = deal(batch, parts)
  found = [
    jax.block_until_ready(function(jax.tree.map(lambda x, i=i: x[i], dealt)))
    for i in range(parts)
  ]
  return gather(jax.tree.map(lambda *rows: jnp.stack(rows), *found))


def in_parts(
  function: Callable[[Any], chex.ArrayTree], batch: chex.ArrayTree, parts: int
) -> chex.ArrayTree:
  """`function` of a batch's rows, part after part, in one program.

  Args:
    function: rows [n, ...] -> arrays [n, ...], each row's from itself alone.
    batch: arrays [N, ...].
    parts: how many, a divisor of N.
  """
  if parts == 1:
    return function(batch)
  return gather(jax.lax.map(function, deal(batch, parts)))
