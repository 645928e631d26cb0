"""Offline RLHF: a fixed pool of scored responses, and SFT on what it says.

`methods.labels` scores responses that are there, and samples of a policy if
wanted. Their rewards r are standardised over the whole pool, z = (r − mean) /
std, and a recipe makes demonstrations of the pool:

  above           keeps z > τ: maximum likelihood with filtering.
  best_of_prompt  keeps the best response to each prompt.
  weighted        weighs by exp(z / β): reward-weighted regression.
  conditioned     writes z before the response: a Decision Transformer, which
                  is asked with a `feedback.reward_condition.Target`.

Then the policy imitates them from SFT on. No reference, critic or sampling.

Source: Hu et al. 2023 (arXiv 2308.12050) and OpenRLHF's released processors;
the paper's constants of regression were not at hand, those here are ours.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.feedback import reward_condition
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetMethod, Method, RecordBatch
from rlhf_jax.training import optimizers
from rlhf_jax.types import Demonstration, Rated
from rlhf_jax.types.rules import Bound, Count, Natural, Positive
from rlhf_jax.types.values import checked

loss = likelihood.loss
update = likelihood.update

# (pool, its standardised rewards [N]) -> what is imitated.
Recipe = Callable[[Sequence[Rated], np.ndarray], list[Demonstration]]


class Statistics(NamedTuple):
  """Of a pool's rewards; the stage that read the pool keeps them, too.

  Attributes:
    scored: how many there are.
    reward_mean, reward_std: in reward units; the unbiased deviation, as in
      OpenRLHF.
    lowest_z, highest_z: of the standardised rewards.
  """

  scored: int
  reward_mean: float
  reward_std: float
  lowest_z: float
  highest_z: float

  def standardised(self, rewards: np.ndarray) -> np.ndarray:
    """(rewards − mean) / std, in float64."""
    return (np.asarray(rewards, float) - self.reward_mean) / self.reward_std


def statistics(pool: Sequence[Rated]) -> Statistics:
  """Of a labelled pool's rewards, in float64.

  Raises:
    ValueError: a record that `labels` did not write, a reward that is no finite
      number, or rewards that are all the same.
  """
  rewards = rewards_of(pool)
  if not np.all(np.isfinite(rewards)):
    place = int(np.flatnonzero(~np.isfinite(rewards))[0])
    raise ValueError(
      f'the reward of record {place} of the pool is {rewards[place]}; look at '
      'the reward that scored it'
    )
  if len(rewards) < 2 or np.ptp(rewards) == 0.0:
    raise ValueError(
      f'the pool has {len(rewards)} rewards and no two of them differ, so they '
      'cannot be standardised; score more responses, or with another reward'
    )
  mean, std = float(np.mean(rewards)), float(np.std(rewards, ddof=1))
  ends = (rewards.min() - mean) / std, (rewards.max() - mean) / std
  return Statistics(len(rewards), mean, std, *map(float, ends))


def rewards_of(pool: Sequence[Rated]) -> np.ndarray:
  """[N] rewards of a labelled pool, in reward units, float64."""
  for place, record in enumerate(pool):
    rated = isinstance(record, Rated) and len(record.ratings) == 1
    if not rated or record.ratings[0] is None:
      raise ValueError(
        f'record {place} of the pool is a {type(record).__name__} without one '
        'reward; have it scored by a stage of methods.labels'
      )
  return np.array([record.ratings[0] for record in pool], float)


def above(
  pool: Sequence[Rated], z: np.ndarray, *, threshold: float = 0.0
) -> list[Demonstration]:
  """Those of standardised reward above the threshold.

  One threshold for all drops prompts whose answers all score low.
  """
  kept = np.flatnonzero(z > threshold)
  return [Demonstration(pool[i].prompt, pool[i].response) for i in kept]


def best_of_prompt(pool: Sequence[Rated], z: np.ndarray) -> list[Demonstration]:
  """The best response to each prompt; of equal ones the first."""
  best: dict = {}
  for place, record in enumerate(pool):
    key = record.prompt.messages
    if key not in best or z[place] > z[best[key]]:
      best[key] = place
  return [
    Demonstration(pool[i].prompt, pool[i].response) for i in best.values()
  ]


def weighted(
  pool: Sequence[Rated],
  z: np.ndarray,
  *,
  beta: Positive = 1.0,
  most: Bound = 20.0,
) -> list[Demonstration]:
  """All of them, weighing min(exp(z / β), most)."""
  weights = np.exp(np.minimum(z / beta, np.log(most)))
  return [
    Demonstration(record.prompt, record.response, float(weight))
    for record, weight in zip(pool, weights, strict=True)
  ]


def conditioned(
  pool: Sequence[Rated],
  z: np.ndarray,
  *,
  decimals: Natural = 2,
  spelling: reward_condition.Spelling | None = None,
) -> list[Demonstration]:
  """All of them, each with its standardised reward between prompt and response.

  The reward is part of the prompt: nothing is learnt of how likely it is.
  """

  def conditioned_on(prompt, reward):
    condition = reward_condition.text(
      reward, decimals=decimals, spelling=spelling
    )
    return prompt._replace(condition=condition)

  return [
    Demonstration(conditioned_on(record.prompt, reward), record.response)
    for record, reward in zip(pool, z, strict=True)
  ]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Pool:
  """What is made of a labelled pool.

  Attributes:
    recipe: `above`, `best_of_prompt`, `weighted` or `conditioned`, options
      bound.
    count: demonstrations, the first so many; all where None.
    batch_size: None, for all records at once: their statistics are the pool's.
  """

  recipe: Recipe
  count: Count | None = None
  batch_size: Count | None = None

  def __post_init__(self):
    if self.batch_size is not None:
      raise ValueError(
        f'batch_size is {self.batch_size}; rewards are standardised over the '
        'whole pool, so leave it None'
      )


def build(
  records: Sequence[Rated], queries: Any, *, config: Pool
) -> RecordBatch:
  """Demonstrations that the recipe makes, with the pool's statistics."""
  del queries  # All is labelled.
  found = statistics(records)
  made = config.recipe(records, found.standardised(rewards_of(records)))
  return RecordBatch(made, found._asdict())


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """The released code's values; steps of one epoch are the pool's size over
  the batch's. A response's tokens all count its weight, as its log-prob is
  their sum: with their mean in its place (`masking.sequence_mean`) those of
  short responses count more, and responses become shorter. `weighing` is
  `likelihood.self_normalised` or `likelihood.unnormalised`."""

  batch_size: Count = 128
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=5e-6)


# Demonstrations made of one labelled dataset, or of several.
pool_stages = DatasetMethod(
  name='pool',
  data='labelled',
  reads=(Rated,),
  build=build,
  builds=Demonstration,
)


# On what was made of a pool.
stages = Method(
  name='offline_rl',
  data='pool',
  reads=(Demonstration,),
  init=likelihood.init,
  update=update,
)
