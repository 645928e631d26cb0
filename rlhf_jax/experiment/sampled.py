"""A policy's responses to many prompts, some at a time."""

import functools
import math
from collections.abc import Iterator, Sequence

import jax

from rlhf_jax import sharding
from rlhf_jax.data.examples import Example
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import Params, Rollouts, Sampler

# So many times what is written side by side goes to the sampler at once, or a
# little more: the more, the less it waits for the longest, and the later
# anything is seen.
WAVES = 4


def sampled(
  data: Data,
  sampler: Sampler,
  loaded: Params,
  examples: Sequence[Example],
  key: jax.Array,
  *,
  first: int = 0,
  samples: int,
  sampling: Sampling,
  at_a_time: int,
) -> Iterator[tuple[Sequence[Example], Rollouts]]:
  """So many examples at a time, or as the devices share them, and Rollouts.

  Args:
    data: of the experiment.
    sampler: the policy's.
    loaded: its parameters, as the sampler loads them.
    examples: what is asked.
    key: of all; each sample's is folded from it and its prompt's place.
    first: the place of the first.
    samples: K, to each prompt.
    sampling: of the responses.
    at_a_time: prompts that are written to side by side.
  """
  at_a_time = data.shared(at_a_time)
  waves = max(1, math.ceil(len(examples) / at_a_time))
  # In equal groups, of one program; the last is filled up with few in vain.
  each = math.ceil(waves / max(1, waves // WAVES))
  fewer = {} if each == 1 else {'at_a_time': at_a_time}
  for begin in range(0, len(examples), each * at_a_time):
    group = examples[begin : begin + each * at_a_time]
    rollouts = sampler.sample(
      loaded,
      data.prompts(group, first + begin, each * at_a_time),
      key,
      samples=samples,
      sampling=sampling,
      **fewer,
    )
    if each == 1:
      yield group, rollouts
      continue
    for at in range(0, len(group), at_a_time):
      yield group[at : at + at_a_time], some_rows(rollouts, at, at_a_time)


@functools.partial(jax.jit, static_argnums=2)
def some_rows(rollouts: Rollouts, begin: int, rows: int) -> Rollouts:
  """So many rows of rollouts, split over the devices as all of them are."""

  def some(x):
    x = jax.lax.dynamic_slice_in_dim(x, begin, rows)
    return sharding.constrain(x, sharding.BATCH)

  return jax.tree.map(some, rollouts)
