"""Time and memory of attention with its gradients: plain against blocks.

Run: python -m tests.benchmarks.attention                     (a minute or two)
     python -m tests.benchmarks.attention --lengths 128 256 --chunks 32 64 128

Plain holds all scores of a row; blocks are those that `cores.in_blocks` makes,
of the chunks asked for. The forms take turns; the median over the turns is
shown, by the clock and in processor time, which other work on the machine
disturbs less. FLOPs are those of the products, half of a square each: two of
the forward pass and five of the backward pass. `growth` is how much more time
than the length before took, over how many more FLOPs there are. `compile` is in
seconds, and `MiB` what is held beside arguments and results.
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from rlhf_jax.models import blocks, cores
from rlhf_jax.models.config import TransformerConfig
from tests.benchmarks.decode import measure

PLAIN_UP_TO = 1024  # Tokens: 8 rows of 4096 would hold 16 GiB of scores.


def config_of(options: argparse.Namespace) -> TransformerConfig:
  """The heads that are asked for."""
  return TransformerConfig(
    vocab_size=8,
    layers=1,
    width=options.heads * options.head_width,
    heads=options.heads,
    kv_heads=options.kv_heads,
    head_width=options.head_width,
    mlp_width=8,
  )


def form(mix: Callable[..., jax.Array], arrays: Sequence[jax.Array]):
  """Value and gradients of a weighted sum of `mix`; MiB held; to compile, s."""

  def loss(arrays, mask, weights):
    return jnp.sum(weights * mix(mask, *arrays))

  began = time.perf_counter()
  step = jax.jit(jax.value_and_grad(loss))
  mask = jnp.ones(arrays[0].shape[:2], bool)
  weights = jnp.cos(arrays[0])
  compiled = step.lower(arrays, mask, weights).compile()
  held = compiled.memory_analysis().temp_size_in_bytes / 2**20
  spent = time.perf_counter() - began
  return functools.partial(compiled, arrays, mask, weights), held, spent


def mixes(
  config: TransformerConfig, length: int, chunks: Sequence[int]
) -> dict[str, Callable[..., jax.Array]]:
  """The forms, each a function of mask, queries, keys and values."""

  def plain(mask, *arrays):
    return cores.plain(config, mask, None)(*arrays, 0)

  def in_blocks(mask, *arrays, chunk):
    return blocks.attend(*arrays, blocks.Rows(mask, None, 0), chunk=chunk)

  found = {'plain': plain} if length <= PLAIN_UP_TO else {}
  return found | {
    f'chunks of {chunk}': functools.partial(in_blocks, chunk=chunk)
    for chunk in chunks
  }


def flops(options: argparse.Namespace, length: int) -> int:
  """Of the products of a step."""
  one = options.rows * options.heads * options.head_width * length**2
  return (2 + 5) * one  # 2 · T² / 2 each.


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--lengths', type=int, nargs='+', default=[256, 1024])
  parser.add_argument('--chunks', type=int, nargs='+', default=[blocks.CHUNK])
  parser.add_argument('--rows', type=int, default=8)
  parser.add_argument('--heads', type=int, default=8)
  parser.add_argument('--kv-heads', type=int, default=4)
  parser.add_argument('--head-width', type=int, default=32)
  parser.add_argument('--turns', type=int, default=5)
  options = parser.parse_args()
  config, before = config_of(options), {}
  print(
    f'{"tokens":>6} {"":16} {"ms":>9} {"processor ms":>13} {"GFLOP/s":>8} '
    f'{"MiB":>8} {"compile":>8} {"growth":>7}'
  )
  for length in options.lengths:
    keys = jax.random.split(jax.random.key(0), 3)
    arrays = [
      jax.random.normal(key, (options.rows, length, heads, options.head_width))
      for key, heads in zip(
        keys,
        (options.heads, options.kv_heads, options.kv_heads),
        strict=True,
      )
    ]
    steps, made = {}, {}
    for name, mix in mixes(config, length, options.chunks).items():
      step, *made[name] = form(mix, arrays)
      steps[name] = lambda key, step=step: step()
    for name, (clock, processor) in measure(steps, options.turns).items():
      work = flops(options, length)
      growth = ''
      if name in before:
        seconds, done = before[name]
        growth = f'{processor / seconds * done / work:7.2f}'
      before[name] = processor, work
      print(
        f'{length:6} {name:16} {1e3 * clock:9.2f} {1e3 * processor:13.2f} '
        f'{work / processor / 1e9:8.1f} {made[name][0]:8.1f} '
        f'{made[name][1]:8.1f} {growth:>7}',
        flush=True,
      )


if __name__ == '__main__':
  main()
