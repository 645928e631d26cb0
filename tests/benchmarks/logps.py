"""Time and memory of log-probs with their gradients: plain against fused.

Run: python -m tests.benchmarks.logps               (a few sizes; minutes)
     python -m tests.benchmarks.logps --sizes 4096x1024x32768 --chunks 1024 4096

Plain holds the logits: gather(log_softmax(hidden @ unembedding)). Fused is
`fused_token_logps` as it is called by default, then with chunks of the sizes
asked for, of which nothing is kept. The forms take turns, and a time is
compared with the plain form's of the same turn; the median is shown, by the
clock and in processor time, which other work on the machine disturbs less.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import distributions

SIZES = (
  '512x512x16384',
  '1024x128x32768',
  '1024x1024x32768',
  '2048x1024x32768',
)
CHUNKS = (1024, 4096)


def plain(hidden, unembedding, targets):
  """[N] log-probs by the definition, all logits in memory."""
  logits = jnp.einsum(
    'nd,dv->nv', hidden, unembedding, preferred_element_type=jnp.float32
  )
  log_p = jax.nn.log_softmax(logits, axis=-1)
  return jnp.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]


def compiled(form: Callable, arguments: Sequence[jax.Array]):
  """Value and both gradients of a weighted sum of log-probs, compiled."""

  def loss(hidden, unembedding, targets, weights):
    return jnp.sum(weights * form(hidden, unembedding, targets))

  step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
  return step.lower(*arguments).compile()


def draw(rows: int, width: int, vocabulary: int) -> tuple[jax.Array, ...]:
  """Hidden states, an unembedding, targets and weights."""
  keys = jax.random.split(jax.random.key(0), 4)
  return (
    jax.random.normal(keys[0], (rows, width)),
    jax.random.normal(keys[1], (width, vocabulary)) / width**0.5,
    jax.random.randint(keys[2], (rows,), 0, vocabulary),
    jax.random.normal(keys[3], (rows,)),
  )


class Time(NamedTuple):
  """Seconds of one run."""

  clock: float
  processor: float


def measure(
  steps: dict[str, Callable], arguments: Sequence[jax.Array], repeats: int
) -> dict[str, list[Time]]:
  """Times of each step in each turn, after one that is not counted."""
  times = {name: [] for name in steps}
  for turn in range(repeats + 1):
    for name, step in steps.items():
      begin = Time(time.perf_counter(), time.process_time())
      jax.block_until_ready(step(*arguments))
      end = Time(time.perf_counter(), time.process_time())
      if turn:
        times[name].append(
          Time(*(b - a for a, b in zip(begin, end, strict=True)))
        )
  return times


def report(size: str, chunks: Sequence[int], repeats: int) -> None:
  """Prints the lines of one size, rows x width x vocabulary."""
  rows, width, vocabulary = map(int, size.split('x'))
  arguments = draw(rows, width, vocabulary)
  forms = {'plain': plain, 'fused': distributions.fused_token_logps}
  for chunk in chunks:
    forms[f'fused, {chunk}'] = functools.partial(
      distributions.fused_token_logps, chunk=chunk
    )
  steps = {name: compiled(form, arguments) for name, form in forms.items()}
  times = measure(steps, arguments, repeats)
  print(f'{size}: {rows * vocabulary / 2**20:.0f} Mi logits')
  for name, step in steps.items():
    pairs = list(zip(times[name], times['plain'], strict=True))
    clock = statistics.median(own.clock / base.clock for own, base in pairs)
    processor = statistics.median(
      own.processor / base.processor for own, base in pairs
    )
    seconds = statistics.median(own.clock for own, _ in pairs)
    memory = step.memory_analysis().temp_size_in_bytes / 2**20
    print(
      f'  {name:12}{seconds:8.3f} s{clock:7.2f} x plain'
      f'{processor:7.2f} x in processor time{memory:7.0f} MiB held',
      flush=True,
    )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--sizes', nargs='+', default=SIZES, metavar='NxDxV')
  parser.add_argument('--chunks', nargs='*', type=int, default=CHUNKS)
  parser.add_argument('--repeats', type=int, default=7)
  options = parser.parse_args()
  for size in options.sizes:
    report(size, options.chunks, options.repeats)


if __name__ == '__main__':
  main()
