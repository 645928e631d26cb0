"""Two of a policy's samples as a pair, labelled by a reward or by the policy.

What RLP compares its synthetic preferences to; by the policy it is RLAIF.

Source: Lang, Huang & Li 2024 (RLP), table 5; Lee et al. 2023 for how a policy
is asked.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from rlhf_jax.feedback import sampled_pairs
from rlhf_jax.stages import DatasetMethod, RecordBatch
from rlhf_jax.types import Comparison, Message, Prompt, Sampled
from rlhf_jax.types.values import checked

# What a question has places for.
PLACES = ('{prompt}', '{first}', '{second}')


def by_reward(
  records: Sequence[Sampled], queries: Any, *, config: sampled_pairs.PairConfig
) -> RecordBatch:
  """A Comparison of the first two samples, the higher reward first.

  Of the same text, of equal rewards, or where one could not be scored, there is
  none.
  """
  del queries
  sampled_pairs.refuse_unfit(records, scored=True)
  gaps = [record.scores[0] - record.scores[1] for record in records]
  return _first_two(records, gaps, [{} for _ in records], config)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class AskedConfig(sampled_pairs.PairConfig):
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


def by_policy(
  records: Sequence[Sampled], queries: Any, *, config: AskedConfig
) -> RecordBatch:
  """A Comparison of the first two samples, the policy's favourite first.

  It is asked in both orders, and each time how much likelier it says one answer
  than the other; the mean of the two probabilities decides.
  """
  sampled_pairs.refuse_unfit(records, scored=False)
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
      found.append(sampled_pairs.compared(record, *order, config.weight))
      fact |= sampled_pairs.facts_of(record, *order)
  return RecordBatch(found, sampled_pairs.averaged(facts))


def _question(record: Sampled, order, question) -> Prompt:
  first, second = (record.responses[i] for i in order)
  said = dict(zip(PLACES, (record.prompt.text, first, second), strict=True))
  # In one pass, whatever braces the texts hold.
  text = re.sub(
    '|'.join(map(re.escape, PLACES)), lambda m: said[m[0]], question
  )
  return Prompt((Message('user', text),))


# Pairs that the reward which scored the samples labels.
stages_by_reward = DatasetMethod(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  build=by_reward,
  builds=Comparison,
)


# Pairs that the policy whose samples they are labels.
stages_by_policy = DatasetMethod(
  name='synthetic',
  data='policy_samples',
  reads=(Sampled,),
  build=by_policy,
  builds=Comparison,
  policy='policy',
  sources={'policy': 'ppo'},
)
