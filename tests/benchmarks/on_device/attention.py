"""Seconds of each way of attention, value and gradients, in bfloat16."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.on_device import machine
from tests.benchmarks.on_device.model_cases import one_layer, ways
from tests.benchmarks.on_device.parity import graded


def measure(
  rows: int, lengths: tuple[int, ...], heads: tuple[int, int], repeats: int
) -> dict[str, Any]:
  """{way and length: seconds of a layer, or how it failed}.

  Args:
    rows: of tokens, padded on the left by up to a quarter.
    lengths: of the rows.
    heads: of queries, and of keys and values; each is 64 wide.
    repeats: timed runs.
  """
  config, found = one_layer(*heads), {}
  for length in lengths:
    padding = np.linspace(0, length // 4, rows, dtype=int)[:, None]
    mask = jnp.asarray(np.arange(length)[None] >= padding)
    arrays = [
      jax.random.normal(jax.random.key(i), (rows, length, n, 64), jnp.bfloat16)
      for i, n in enumerate((heads[0], heads[1], heads[1]))
    ]
    for way, core in ways(jax.default_backend()).items():

      def mix(*arrays, core=core, mask=mask):
        return core(config, mask, None)(*arrays, 0)

      step = jax.jit(graded(mix))
      try:
        spent = machine.seconds(functools.partial(step, *arrays), repeats)
      except Exception as e:  # What does not fit is told.
        spent = machine.said(e)
      found[f'{way}, {length} tokens'] = spent
  return found
