"""SLiC-HF: sequence likelihoods calibrated by pairs, and an anchor.

The chosen response has to be more probable than the rejected one by a margin,
and the policy goes on imitating a target. No reference is kept. Pairs are
people's (direct), or the policy's own samples put in order by a reward model or
a ranker (sample-rank, `pair_stages`); the target is the demonstration of the
prompt or the best sample. Pairs that people compared and whose target is the
demonstration are `pair_stages` too, judged by `judging.by_annotator`.

Source: Zhao et al. 2023 (SLiC-HF), eqs. 2 and 4.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np

from rlhf_jax.feedback import judging, pairing, ranking
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.stages import DatasetMethod, Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Record,
  Response,
  prompt_of,
)
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = pairwise.loss
update = pairwise.update


def demonstrated(
  record: Record, texts: Sequence[str], scores: Sequence[float]
) -> str:
  """The target is what the data demonstrate."""
  del texts, scores
  if not isinstance(record, Demonstration):
    raise ValueError(
      'the data of these pairs have no demonstrations to imitate; name a '
      'dataset of demonstrations, or set target to best_sampled'
    )
  return record.response


def best_sampled(
  record: Record, texts: Sequence[str], scores: Sequence[float]
) -> str | None:
  """The target is the sample that the judge finds best, of those that ended.

  None where none did: one cut short would teach to ramble.
  """
  del record
  ended = [i for i, text in enumerate(texts) if Response.of(text).ended]
  return texts[max(ended, key=lambda i: scores[i])] if ended else None


def ordered(
  count: int,
  scores: Sequence[float],
  prefer: pairing.Prefer,
  seed: int,
) -> list[pairing.Match]:
  """As many random pairs as there are responses, by the order of the scores."""
  del prefer
  pairs = [
    (i, j) for i in range(count) for j in range(count) if scores[i] > scores[j]
  ]
  rng = np.random.default_rng(seed)
  return [pairs[p] for p in rng.permutation(len(pairs))[:count]]


def tournament(
  count: int,
  scores: Sequence[float],
  prefer: pairing.Prefer,
  seed: int,
) -> list[pairing.Match]:
  """The matches of a single elimination."""
  del scores, seed
  return pairing.tournament(count, prefer)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Pairs:
  """The paper's values for how pairs are made.

  Attributes:
    samples: responses to each prompt.
    judge: `judging.by_reward`, `judging.by_ranker`, or `judging.by_annotator`
      with an annotator bound.
    pair: (count, scores, prefer, seed) -> (winner, loser)s; `ordered` goes with
      scores, `tournament` with a ranker.
    target: (record, texts, scores) -> what to imitate, or None to leave the
      record out; `demonstrated` or `best_sampled`.
    count: pairs; None makes those of each of the data's records once.
    batch_size: prompts at a time.
    sampling: of the responses.
  """

  samples: Count = 8
  judge: judging.Judge = judging.by_reward
  pair: Annotated[Callable, Called(4)] = ordered
  target: Annotated[Callable, Called(3)] = demonstrated
  count: Count | None = None
  batch_size: Count = 256
  sampling: Sampling = Sampling(temperature=0.7, top_k=40)


def build(
  records: Sequence[Record], queries: Any, *, config: Pairs
) -> list[Comparison]:
  """Pairs of each record's samples, with what is imitated beside them.

  Equal texts count once, equal scores that decide make no pair, neither does a
  single text, and a text that could not be judged is no candidate.
  """
  sampled = queries.sample(samples=config.samples, sampling=config.sampling)
  listed = list(map(ranking.distinct, sampled))
  prompts = [prompt_of(record) for record in records]
  judged = config.judge(prompts, listed, queries)
  written = []
  for record, prompt, (texts, scores, prefer), seed in zip(
    records,
    prompts,
    judging.candidates(listed, judged),
    queries.seeds,
    strict=True,
  ):
    target = config.target(record, texts, scores)
    if target is None:
      continue
    pairs = config.pair(len(texts), scores, prefer, seed)
    if judged.by_scores:
      pairs = pairing.decisive(pairs, scores)
    written += [
      Comparison(prompt, (texts[winner], texts[loser]), target=target)
      for winner, loser in pairs
    ]
  return written


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(pairwise.Config, optimizers.Steps):
  """The paper's margin; its rate, 1e-5, on AdamW in place of Adafactor.

  The papers do not say how much the anchor weighs, and find that it hardly
  matters; a tenth is ours.
  """

  objective: pairwise.Objective = functools.partial(
    losses.slic, margin=1.0, likelihood_coef=0.1
  )
  batch_size: Count = 32
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-5)


# Pairs of a policy's samples, judged by a reward, a ranker or people.
pair_stages = DatasetMethod(
  name='slic_pairs',
  data='demonstrations',
  build=build,
  builds=Comparison,
  asked=judging.asked,
  sources={'policy': 'sft', 'judge': 'reward_model'},
)


# No reference is kept.
stages = Method(
  name='slic',
  data='slic_pairs',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
)
