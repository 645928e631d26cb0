"""Synthetic preferences out of a policy's samples, and what RLP compares to.

`by_consistency` is RLP-SPG; with gamma 0 it is Select-All. `by_reward` and
`by_policy` (RLAIF) label a pair of samples instead, with the reward model and
with the policy itself.

Source: Lang, Huang & Li 2024 (RLP), §3.2, and table 5 for the alternatives; Lee
et al. 2023 for how a policy is asked.
"""

import dataclasses
import re
from collections.abc import Callable

import jax
import numpy as np
from scipy import special

from rlhf_jax.feedback import similarity as similarities
from rlhf_jax.feedback.similarity import Similarity
from rlhf_jax.kernels import clustering
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.stages import RecordBatch, Writer
from rlhf_jax.types import Comparison, Mean, Message, Prompt, Sampled
from rlhf_jax.types.rules import Count, NonNegative, Share
from rlhf_jax.types.values import checked

# What a question has places for.
PLACES = ('{prompt}', '{first}', '{second}')

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
      found.append(_compared(record, made.chosen, made.rejected, config.weight))
      facts[-1] |= _of_pair(record, made.chosen, made.rejected)
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


def by_reward(records, queries, *, config):
  """A Comparison of the first two samples, the higher reward first.

  Of the same text, of equal rewards, or where one could not be scored, there is
  none.
  """
  del queries
  refuse_unfit(records, scored=True)
  gaps = [record.scores[0] - record.scores[1] for record in records]
  return _first_two(records, gaps, [{} for _ in records], config)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class AskedConfig(PairConfig):
  """How a policy is asked which of two responses is better.

  Attributes:
    question: what it reads; {prompt}, {first} and {second} stand for texts.
    answers: what it says for the first, and for the second.
  """

  question: str
  answers: tuple[str, str]

  def __post_init__(self):
    super().__post_init__()
    missing = [p for p in PLACES if p not in self.question]
    if missing:
      raise ValueError(
        f'the question {self.question!r} has no place for {", ".join(missing)}'
      )


def by_policy(records, queries, *, config):
  """A Comparison of the first two samples, the policy's favourite first.

  It is asked in both orders, and each time how much likelier it says one answer
  than the other; the mean of the two probabilities decides.
  """
  refuse_unfit(records, scored=False)
  asked = [
    _question(record, order, config.question)
    for record in records
    for order in ((0, 1), (1, 0))
  ]
  first, second = (
    queries.logps(asked, [a] * len(asked)) for a in config.answers
  )
  says_first = special.expit(np.asarray(first - second, float)).reshape(-1, 2)
  prefers = 0.5 * (says_first[:, 0] + 1.0 - says_first[:, 1])
  # The first place is chosen in both orders, or in neither.
  swayed = (says_first[:, 0] > 0.5) == (says_first[:, 1] > 0.5)
  facts = [{'swayed_by_order': float(each)} for each in swayed]
  return _first_two(records, prefers - 0.5, facts, config)


def _first_two(records, leads, facts, config) -> RecordBatch:
  """A Comparison of each record's first two samples where one of them leads.

  Args:
    records: of samples.
    leads: by how much each one's first sample is ahead; 0 or not finite where
      neither is.
    facts: of each record, to which those of its pair are added.
    config: a PairConfig.
  """
  found = []
  for record, lead, fact in zip(records, leads, facts, strict=True):
    fact['accepted'] = 0.0
    first, second, *_ = record.responses
    if lead and np.isfinite(lead) and first != second:
      order = (0, 1) if lead > 0 else (1, 0)
      found.append(_compared(record, *order, config.weight))
      fact |= _of_pair(record, *order)
  return RecordBatch(found, averaged(facts))


def _question(record: Sampled, order, question) -> Prompt:
  first, second = (record.responses[i] for i in order)
  said = dict(zip(PLACES, (record.prompt.text, first, second), strict=True))
  # In one pass, whatever braces the texts hold.
  text = re.sub(
    '|'.join(map(re.escape, PLACES)), lambda m: said[m[0]], question
  )
  return Prompt((Message('user', text),))


def _compared(record: Sampled, chosen: int, rejected: int, weight: float):
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


def _of_pair(record: Sampled, chosen: int, rejected: int):
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


# Pairs that the reward which scored the samples labels.
stages_by_reward = Writer(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  write=by_reward,
  writes=Comparison,
)


# Pairs that the policy whose samples they are labels.
stages_by_policy = Writer(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  write=by_policy,
  writes=Comparison,
  policy='policy',
  sources={'policy': 'ppo'},
)
