"""Old pairs weighed towards the policy of now: off-policy corrected reward.

No new samples and no new labels: a pair weighs more the more the policy that is
trained now would say its responses than the SFT policy whose they are. On the
pairs written here a `reward_model` is trained anew, then the policy again, and
the weights are taken from that one. A batch's losses are averaged by the
weights, Σ W ℓ / Σ W, so that how large they are altogether counts beside other
data alone.

Source: Ackermann et al. 2025 (OCRM, arXiv 2507.15507). Its released code adds
10⁻³⁶ to probabilities of whole responses: below −83 nats its weights are other
than its paper's, which are taken here.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.kernels import pair_weights
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetMethod, RecordBatch
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count, NonNegative, Share
from rlhf_jax.types.values import checked


def as_they_are(weights: np.ndarray) -> np.ndarray:
  """The weights [N]."""
  return weights


def of_mean_one(weights: np.ndarray) -> np.ndarray:
  """The weights [N] over their mean: together the pairs weigh what they did."""
  return weights / np.mean(weights)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """The paper's share; of its flattenings, 0.001 to 0.01, the largest.

  Attributes:
    share: a, of the policy of now in what it is compared with.
    flattening: η, the exponent of the ratios.
    normalise: all weights [N] -> [N]; `as_they_are`, or `of_mean_one`.
    count: None; all pairs are written.
    batch_size: None, since the weights are compared with each other.
  """

  share: Share = 0.1
  flattening: NonNegative = 0.01
  normalise: Callable[[np.ndarray], np.ndarray] = as_they_are
  count: Count | None = None
  batch_size: Count | None = None

  def __post_init__(self):
    for field in ('count', 'batch_size'):
      if (value := getattr(self, field)) is not None:
        raise ValueError(
          f'{field} is {value}; all pairs are weighed at once, so leave it None'
        )


def build(
  records: Sequence[Comparison], queries: Any, *, config: Config
) -> RecordBatch:
  """The Comparisons as they are, their weights times those by the policy.

  Facts: how many pairs of one weight would say as much, (Σ W)² / Σ W², and as a
  share of all; the smallest and the largest weight.
  """
  for record in records:
    if (count := len(record.responses)) != 2:
      raise ValueError(
        f'{record.prompt.place}: pairs are weighed, and this prompt has '
        f'{count} responses; give data of pairs'
      )
  logps, reference_logps = (
    np.stack(queries.response_logps(records, role))
    for role in ('policy', 'reference')
  )
  weights = config.normalise(
    np.asarray(
      pair_weights.off_policy_corrected(
        logps,
        reference_logps,
        share=config.share,
        flattening=config.flattening,
      ),
      np.float64,
    )
  )
  share = float(likelihood.effective_share(weights).value)
  facts = {
    'effective_pairs': share * len(weights),
    'effective_share': share,
    'smallest_weight': float(weights.min()),
    'largest_weight': float(weights.max()),
  }
  return RecordBatch(
    [
      record._replace(weight=record.weight * float(weight))
      for record, weight in zip(records, weights, strict=True)
    ],
    facts,
  )


# Pairs of the SFT policy's responses, weighed by a policy that learnt since.
stages = DatasetMethod(
  name='weighted_preferences',
  data='preferences',
  reads=(Comparison,),
  build=build,
  builds=Comparison,
  policy='policy',
  frozen={'reference': 'reference'},
  sources={'policy': 'ppo', 'reference': 'sft'},
)
