"""Synthetic preferences out of a policy's samples: RLP-SPG.

With gamma 0 it is Select-All.

Source: Lang, Huang & Li 2024 (RLP), §3.2, and table 5.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from rlhf_jax.feedback import similarity as similarities
from rlhf_jax.feedback.similarity import Similarity
from rlhf_jax.kernels import clustering
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.stages import RecordBatch, Writer
from rlhf_jax.types import Comparison, Mean, Sampled
from rlhf_jax.types.rules import Count, NonNegative, Share
from rlhf_jax.types.values import checked

Linkage = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class PairConfig:
  """How many pairs there are, and how much they weigh.

  Attributes:
    weight: of each pair, beside that of an annotated one.
    count: the most pairs that are written, the first ones; None for all there
      are, as in the paper. With a count batch_size has to be None.
    batch_size: prompts at a time; None for all at once.
  """

  weight: NonNegative = 1.0
  count: Count | None = None
  batch_size: Count | None = 256

  def __post_init__(self):
    if self.count is not None and self.batch_size is not None:
      raise ValueError(
        f'count is {self.count} and batch_size {self.batch_size}; prompts '
        'would be gone over until there are so many pairs, the same ones '
        'again. Set batch_size to None, and count is the most that are kept'
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(PairConfig):
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
  linkage: Linkage = clustering.greedy
  choose: consistency.Choice = consistency.best_scored
  tie: consistency.Tie = consistency.of_best_scored


def by_consistency(records, queries, *, config):
  """A Comparison of each prompt on whose answer enough samples agree.

  Its margin is 0: nobody said how much better it is.
  """
  refuse_unfit(records, scored=True)
  grouped = groups(records, queries, config=config)
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
      found.append(compared(record, made.chosen, made.rejected, config.weight))
      facts[-1] |= facts_of(record, made.chosen, made.rejected)
      facts[-1]['tied'] = float(made.tied)
  return RecordBatch(found, averaged(facts))


def refuse_unfit(records, *, scored: bool) -> None:
  """Refuses samples that no pair can be made of.

  Raises:
    ValueError: saying why.
  """
  for record in records:
    if len(record.responses) < 2:
      raise ValueError(
        f'a prompt has {len(record.responses)} sample, and a pair needs two; '
        'draw more (samples of the stage that drew them)'
      )
    if scored and record.scores is None:
      raise ValueError(
        'the samples have no scores, which these pairs need; name a reward in '
        'the stage that draws them'
      )


def groups(records, queries, *, config) -> list[np.ndarray]:
  """[n] group numbers of each record's samples; an empty one is alone."""
  similar = config.similarity(
    [record.prompt for record in records],
    [record.responses for record in records],
    queries,
  )
  found = []
  for record, labels in zip(
    records, of_each(config.linkage, similar), strict=True
  ):
    empty = np.array([not text.strip() for text in record.responses])
    labels[empty] = len(labels) + np.arange(empty.sum())
    found.append(labels)
  return found


def of_each(function, arrays) -> list[np.ndarray]:
  """`function` of every array, those of one shape in one call."""
  found = {}
  for shape in {np.shape(array) for array in arrays}:
    rows = [i for i, array in enumerate(arrays) if np.shape(array) == shape]
    stacked = np.stack([arrays[i] for i in rows])
    values = np.array(jax.vmap(function)(stacked))
    found |= zip(rows, values, strict=True)
  return [found[i] for i in range(len(arrays))]


def compared(
  record: Sampled, chosen: int, rejected: int, weight: float
) -> Comparison:
  """Two samples of a record as a pair."""
  texts = (record.response(chosen), record.response(rejected))
  return Comparison(record.prompt, texts, weight=weight)


def of_clustering(labels) -> list[dict[str, float]]:
  """Confidence, number and entropy of the groups [n] of each prompt."""
  measures = {
    'confidence': of_each(clustering.confidence, labels),
    'groups': [len(np.unique(of_prompt)) for of_prompt in labels],
    'semantic_entropy': of_each(clustering.semantic_entropy, labels),
  }
  return [
    dict(zip(measures, map(float, values), strict=True))
    for values in zip(*measures.values(), strict=True)
  ]


def _outcome(made):
  """Whether a prompt gave no pair, and why."""
  reasons = {why.value: float(made is why) for why in consistency.Rejected}
  return {'accepted': 0.0} | reasons


def facts_of(record: Sampled, chosen: int, rejected: int) -> dict[str, float]:
  """Facts of a pair, in reward units and tokens."""
  scores, lengths, ended = record.scores, record.lengths, record.ended
  gap = {}
  if scores is not None:
    gap['reward_gap'] = scores[chosen] - scores[rejected]
  return gap | {
    'accepted': 1.0,
    'chosen_length': float(lengths[chosen]),
    'rejected_length': float(lengths[rejected]),
    'chosen_cut': float(not ended[chosen]),
    'rejected_cut': float(not ended[rejected]),
  }


def averaged(facts) -> dict[str, Mean]:
  """The mean of each fact, over the prompts that have it."""
  names = dict.fromkeys(name for each in facts for name in each)
  return {
    name: Mean.of(np.array([f[name] for f in facts if name in f], np.float32))
    for name in names
  }


# RLP-SPG's pairs; the reward is asked for embeddings alone.
stages = Writer(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  write=by_consistency,
  writes=Comparison,
  frozen={'reward': 'reward'},
)
