"""Time and memory of log-probs with their gradients: plain against fused.

Run: python -m benchmarks.logps                     (a few sizes; a few minutes)
     python -m benchmarks.logps --sizes 4096x1024x32768 --chunks 1024 4096

Plain holds the logits: gather(log_softmax(hidden @ unembedding)). Fused is
`fused_token_logps` as it is called by default, then with chunks of the sizes
asked for. The forms take turns, and a time is compared with the plain form's of
the same turn, so that whatever else the machine does falls on all of them.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import logps

SIZES = ('256x512x8192', '512x512x16384', '1024x512x32768', '1024x1024x32768')
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


def measure(
  steps: dict[str, Callable], arguments: Sequence[jax.Array], repeats: int
) -> dict[str, list[float]]:
  """Seconds of each step in each turn, after one that is not counted."""
  seconds = {name: [] for name in steps}
  for turn in range(repeats + 1):
    for name, step in steps.items():
      begin = time.perf_counter()
      jax.block_until_ready(step(*arguments))
      if turn:
        seconds[name].append(time.perf_counter() - begin)
  return seconds


def report(size: str, chunks: Sequence[int], repeats: int) -> None:
  """Prints the lines of one size, rows x width x vocabulary."""
  rows, width, vocabulary = map(int, size.split('x'))
  arguments = draw(rows, width, vocabulary)
  forms = {'plain': plain, 'fused': logps.fused_token_logps}
  for chunk in chunks:
    forms[f'fused, {chunk}'] = functools.partial(
      logps.fused_token_logps, chunk=chunk
    )
  steps = {name: compiled(form, arguments) for name, form in forms.items()}
  seconds = measure(steps, arguments, repeats)
  print(f'{size}: {rows * vocabulary / 2**20:.1f} Mi logits')
  for name, times in seconds.items():
    turns = zip(times, seconds['plain'], strict=True)
    ratio = statistics.median(own / base for own, base in turns)
    memory = steps[name].memory_analysis().temp_size_in_bytes / 2**20
    print(
      f'  {name:12} {statistics.median(times):8.3f} s  {ratio:5.2f} x plain'
      f'  {memory:6.0f} MiB held',
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
