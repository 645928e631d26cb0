"""Self-consistency preference optimisation (ScPO): votes, and no reward.

Of k samples of a prompt V(y) counts those that mean the same as y. Where enough
agree, one of the largest group is preferred to one of the smallest, with the
weight w = (V(y⁺) − V(y⁻)) / k, and the policy learns from these pairs by DPO
and the likelihood of y⁺. RLP-SPG rejects one of all other groups alike, and has
a reward model between. `rlp.samples.unscored_stages` draws the samples.

Source: Prasad et al. 2024 (ScPO, arXiv 2411.04109). A batch's losses, both
terms, are averaged by their weights, Σ w ℓ / Σ w; the paper's are over pairs.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback import sampled_pairs
from rlhf_jax.feedback import similarity as similarities
from rlhf_jax.kernels import clustering
from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.stages import DatasetMethod, Method, RecordBatch
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison, Sampled
from rlhf_jax.types.rules import Count, Share
from rlhf_jax.types.values import checked

loss = pairwise.loss
update = pairwise.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Pairs(sampled_pairs.PairConfig):
  """The first round's threshold; the second has 0.7.

  Attributes:
    similarity: which samples mean the same, of feedback.similarity; the
      paper's compare final answers.
    tau: least share of the samples that the largest group must have.
    linkage: [n, n] bool -> [n] groups, in jax, of kernels.clustering.
  """

  similarity: similarities.Similarity = similarities.exact
  tau: Share = 0.5
  linkage: sampled_pairs.Linkage = clustering.greedy

  def when_none(
    self, facts: Mapping[str, float], *, own: str, drawing: str
  ) -> str:
    """What to change: either too few samples agree, or all of them do."""
    return (
      f'{facts["confidence"]:.0%} of the samples of a prompt agree; lower '
      f'{own}.tau, which is {self.tau:g}, or '
      f'{sampled_pairs.more_samples(drawing)}'
    )


def build(
  records: Sequence[Sampled], queries: Any, *, config: Pairs
) -> RecordBatch:
  """A Comparison of each prompt on whose answer enough samples agree."""
  sampled_pairs.refuse_unfit(records, scored=False)
  grouped = sampled_pairs.groups(
    records, queries, similarity=config.similarity, linkage=config.linkage
  )
  votes = sampled_pairs.of_each(clustering.group_sizes, grouped)
  found, facts = [], []
  for record, counts, seed in zip(records, votes, queries.seeds, strict=True):
    facts.append({'accepted': 0.0, 'confidence': max(counts) / len(counts)})
    drawn = np.random.default_rng(seed)
    pair = voted(counts, record.responses, config.tau, drawn)
    if pair is not None:
      gap = float(counts[pair[0]] - counts[pair[1]]) / len(counts)
      found.append(sampled_pairs.compared(record, *pair, config.weight * gap))
      facts[-1] |= sampled_pairs.facts_of(record, *pair) | {'vote_gap': gap}
  return RecordBatch(found, sampled_pairs.averaged(facts))


def voted(
  votes: np.ndarray,
  texts: Sequence[str],
  tau: float,
  generator: np.random.Generator,
) -> tuple[int, int] | None:
  """Places of one of the largest group and one of the smallest, or None.

  Args:
    votes: [k] ints V(y), how many samples are in the group of each.
    texts: k samples; an empty one counts in k and is never in a pair.
    tau: least max V / k.
    generator: draws among those with as many votes.
  """
  said = np.array([bool(text.strip()) for text in texts])
  most, fewest = max(votes[said], default=0), min(votes[said], default=0)
  least = sampled_pairs.least_count(tau, len(votes))
  if most == fewest or most < least:
    return None
  best, worst = (np.flatnonzero(said & (votes == n)) for n in (most, fewest))
  return int(generator.choice(best)), int(generator.choice(worst))


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(pairwise.Config, optimizers.Steps):
  """The paper's β, α and rate."""

  objective: pairwise.Objective = functools.partial(
    losses.dpo_with_likelihood, beta=0.5, likelihood_coef=1.0
  )
  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=5e-6)


# Pairs that a policy's own samples vote on.
pair_stages = DatasetMethod(
  name='scpo_pairs',
  data='policy_samples',
  reads=(Sampled,),
  build=build,
  builds=Comparison,
)


# Where a round starts from is also its reference.
stages = Method(
  name='scpo',
  data='scpo_pairs',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
  frozen={'reference': 'start'},
  precompute=pairwise.reference_logps,
)
