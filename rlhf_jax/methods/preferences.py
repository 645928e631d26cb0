"""Comparisons of the policy's own samples, ranked by an annotator.

Source: Ouyang et al. 2022, §3.5, step 2; AlpacaFarm, Dubois et al. 2023, §3.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import DatasetStage
from rlhf_jax.types import Comparison, Prompt

# (prompt, response_a, response_b, seed) -> True where a is preferred.
Annotator = Callable[[Prompt, str, str, int], bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """How pairs are sampled and who ranks them.

  Attributes:
    annotate: the annotator.
    count: how many comparisons to ask for.
    batch_size: prompts answered at a time.
    sampling: of the two responses.
  """

  annotate: Annotator
  count: int
  batch_size: int = 256
  sampling: Sampling = Sampling(temperature=1.0)


def write(policy_params, prompts, records, key, *, models, decode, config):
  """Two responses to each prompt, the preferred one first.

  Returns:
    A Comparison for each prompt; None where the two were the same text, which
    no annotator can rank.
  """
  rollouts = models.sampler(
    policy_params, prompts, key, samples=2, sampling=config.sampling
  )
  seeds = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(
    rollouts.index
  )
  return [
    _ranked(record, pair, int(seed), config.annotate)
    for record, pair, seed in zip(
      records, decode(rollouts), np.asarray(seeds), strict=True
    )
  ]


def _ranked(record, pair, seed, annotate):
  a, b = pair
  if a == b:
    return None
  best_first = (a, b) if annotate(record, a, b, seed) else (b, a)
  return Comparison(record, best_first)


def stages(
  config: Config, *, data: str = 'prompts', policy: str = 'sft'
) -> dict[str, DatasetStage]:
  """{'preferences'}: annotated pairs of `policy`'s samples."""
  return {
    'preferences': DatasetStage(
      write=write, config=config, data=data, policy=policy
    )
  }
