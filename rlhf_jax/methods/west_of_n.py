"""West-of-N: the best and the worst of N samples as a new pair.

A teacher that errs on a share ε of pairs errs on at most 2 ε of these as N
grows; with N = 2 they are `rlp.labelled`'s, from which its student gets worse.
It is the reward that scored the samples (`rlp.samples.stages`; in the paper 64
of the SFT policy at temperature 0.7), or a ranker. The student, a
`reward_model`, starts anew, from these and as many annotated pairs.

Source: Pace et al. 2024 (West-of-N, arXiv 2401.12086).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from rlhf_jax.feedback import judging, sampled_pairs
from rlhf_jax.stages import DatasetMethod, RecordBatch
from rlhf_jax.types import Comparison, Sampled
from rlhf_jax.types.rules import ShareAboveZero
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(sampled_pairs.PairConfig):
  """All pairs are kept.

  Attributes:
    most_sure: the share of pairs that is kept, those with the largest
      P(y⁺ ≻ y⁻); 1 for all. Below 1 batch_size has to be None.
  """

  most_sure: ShareAboveZero = 1.0

  def __post_init__(self):
    super().__post_init__()
    if self.most_sure < 1.0 and self.batch_size is not None:
      raise ValueError(
        f'most_sure is {self.most_sure:g} and batch_size {self.batch_size}; '
        'a pair is compared with all others, so set batch_size to None'
      )


def by_reward(
  records: Sequence[Sampled], queries: Any, *, config: Config
) -> RecordBatch:
  """A Comparison of each prompt's best and worst sample, by their scores."""
  del queries
  sampled_pairs.refuse_unfit(records, scored=True)
  pairs = [extremes(r.responses, r.scores) for r in records]
  gaps = [
    r.scores[pair[0]] - r.scores[pair[1]] if pair else 0.0
    for r, pair in zip(records, pairs, strict=True)
  ]
  return _surest(records, pairs, np.array(gaps), config)


def by_ranker(
  records: Sequence[Sampled], queries: Any, *, config: Config
) -> RecordBatch:
  """A Comparison of each prompt's best and worst sample, by the frozen ranker.

  They are those of its log-odds over the first sample; then it reads the two
  together, and where it would turn them round there is no pair.
  """
  sampled_pairs.refuse_unfit(records, scored=False)
  listed = [tuple(dict.fromkeys(r.responses)) for r in records]
  judged = judging.by_ranker([r.prompt for r in records], listed, queries)
  pairs = []
  for record, texts, scores in zip(records, listed, judged.scores, strict=True):
    score = dict(zip(texts, scores, strict=True))
    pairs.append(
      extremes(record.responses, [score[text] for text in record.responses])
    )
  met = [i for i, pair in enumerate(pairs) if pair]
  log_odds = np.zeros(len(records))
  log_odds[met] = queries.prefer(
    [sampled_pairs.compared(records[i], *pairs[i], 1.0) for i in met]
  )
  return _surest(records, pairs, log_odds, config)


def extremes(
  texts: Sequence[str], scores: Sequence[float]
) -> tuple[int, int] | None:
  """Places of the largest and the smallest score, the first of equal ones.

  None where they are equal, or of one text. What has no score, NaN, or says
  nothing is neither.
  """
  known = np.where([bool(text.strip()) for text in texts], scores, np.nan)
  if not np.isfinite(known).any():
    return None
  best = int(np.argmax(np.where(np.isfinite(known), known, -np.inf)))
  worst = int(np.argmin(np.where(np.isfinite(known), known, np.inf)))
  alike = texts[best] == texts[worst] or known[best] == known[worst]
  return None if alike else (best, worst)


def _surest(records, pairs, log_odds, config):
  """The pairs with the largest log-odds [N] of y⁺ ≻ y⁻, all above 0."""
  made = np.flatnonzero(log_odds > 0.0)
  count = sampled_pairs.least_count(config.most_sure, len(made))
  kept = made[np.argsort(-log_odds[made], kind='stable')[:count]]
  found, facts = [], [{'accepted': 0.0} for _ in records]
  for i in sorted(kept):
    found.append(sampled_pairs.compared(records[i], *pairs[i], config.weight))
    facts[i] |= sampled_pairs.facts_of(records[i], *pairs[i])
    facts[i]['confidence'] = special.expit(log_odds[i])
  return RecordBatch(found, sampled_pairs.averaged(facts))


# By the reward that scored the samples, or by a ranker.
_PAIRS = {'name': 'west_of_n', 'data': 'policy_samples', 'reads': (Sampled,)}
stages_by_reward = DatasetMethod(**_PAIRS, build=by_reward, builds=Comparison)
stages_by_ranker = DatasetMethod(
  **_PAIRS,
  build=by_ranker,
  builds=Comparison,
  frozen={'ranker': 'ranker'},
  sources={'ranker': 'ranker'},
)
