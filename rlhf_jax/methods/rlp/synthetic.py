"""Synthetic preferences out of a policy's samples: RLP-SPG.

With gamma 0 it is Select-All.

Source: Lang, Huang & Li 2024 (RLP), §3.2, and table 5.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback import sampled_pairs
from rlhf_jax.feedback import similarity as similarities
from rlhf_jax.feedback.similarity import Similarity
from rlhf_jax.kernels import clustering
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.stages import DatasetMethod, RecordBatch
from rlhf_jax.types import Comparison, Sampled
from rlhf_jax.types.rules import Share
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(sampled_pairs.PairConfig):
  """RLP-SPG with the paper's threshold.

  Attributes:
    similarity: which samples mean the same, of feedback.similarity; the
      paper's is bidirectional entailment.
    gamma: least share of the samples in the largest group.
    linkage: [n, n] bool -> [n] groups, in jax, mapped over prompts; of
      kernels.clustering.
    choose: which member of the largest group is preferred, of `consistency`.
    tie: which of several largest groups is taken, of `consistency`.
  """

  similarity: Similarity = similarities.exact
  gamma: Share = 0.5
  linkage: sampled_pairs.Linkage = clustering.greedy
  choose: consistency.Choice = consistency.best_scored
  tie: consistency.Tie = consistency.of_best_scored

  def when_none(
    self, facts: Mapping[str, float], *, own: str, drawing: str
  ) -> str:
    """What to change, by why prompts gave no pair."""
    varied = sampled_pairs.more_samples(drawing)
    mended_by = {
      consistency.Rejected.LOW_CONFIDENCE: (
        'too few samples agree',
        f'lower {own}.gamma, which is {self.gamma:g}',
      ),
      consistency.Rejected.ALL_AGREE: ('all samples agree', varied),
      consistency.Rejected.TIE: ('as many samples say one as another', varied),
      consistency.Rejected.EMPTY: (
        'no sample says anything',
        'train the policy longer that draws them',
      ),
    }
    return '; '.join(
      f'{why} to {facts[reason.value]:.0%} of the prompts: {change}'
      for reason, (why, change) in mended_by.items()
      if facts.get(reason.value)
    )


def by_consistency(
  records: Sequence[Sampled], queries: Any, *, config: Config
) -> RecordBatch:
  """A Comparison of each prompt on whose answer enough samples agree.

  Its margin is 0: nobody said how much better it is.
  """
  sampled_pairs.refuse_unfit(records, scored=True)
  grouped = sampled_pairs.groups(
    records, queries, similarity=config.similarity, linkage=config.linkage
  )
  found, facts = [], []
  clustered = of_clustering(grouped)
  for record, labels, seed, of_prompt in zip(
    records, grouped, queries.seeds, clustered, strict=True
  ):
    made = consistency.pair(
      labels,
      record.responses,
      record.scores,
      gamma=config.gamma,
      generator=np.random.default_rng(seed),
      choose=config.choose,
      tie=config.tie,
    )
    facts.append(of_prompt | _outcome(made))
    if isinstance(made, consistency.Pair):
      chosen = (record, made.chosen, made.rejected)
      found.append(sampled_pairs.compared(*chosen, config.weight))
      facts[-1] |= sampled_pairs.facts_of(*chosen)
      facts[-1]['tied'] = float(made.tied)
  return RecordBatch(found, sampled_pairs.averaged(facts))


def of_clustering(labels: Sequence[np.ndarray]) -> list[dict[str, float]]:
  """Confidence, number and entropy of the groups [n] of each prompt."""
  measures = {
    'confidence': sampled_pairs.of_each(clustering.confidence, labels),
    'groups': [len(np.unique(of_prompt)) for of_prompt in labels],
    'semantic_entropy': sampled_pairs.of_each(
      clustering.semantic_entropy, labels
    ),
  }
  return [
    dict(zip(measures, map(float, values), strict=True))
    for values in zip(*measures.values(), strict=True)
  ]


def _outcome(made):
  """Whether a prompt gave no pair, and why."""
  reasons = {why.value: float(made is why) for why in consistency.Rejected}
  return {'accepted': 0.0} | reasons


# RLP-SPG's pairs; the reward is asked for embeddings alone.
stages = DatasetMethod(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  build=by_consistency,
  builds=Comparison,
  frozen={'reward': 'reward'},
)
