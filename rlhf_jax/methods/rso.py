"""RSO: pairs of the optimal policy, by statistical rejection sampling.

The SFT policy gives many responses to a prompt, a judge scores them, rejection
sampling keeps a few as if the optimal policy π_sft exp(r / β) / Z had given
them, these meet in pairs, the judge says who wins, and a pairwise loss learns
it: DPO's sigmoid-norm by default, `pairwise.hinge_norm` or
`pairwise.hinge` in its place. The loss's γ is not the sampling's β.

With `select=first` nothing is rejected: the paper's sft-sample-rank.

Source: Liu et al. 2024 (RSO), algorithm 1.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.feedback import judging, pairing, ranking
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import selection
from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.stages import DatasetMethod, Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison, Record, prompt_of
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import AtMost, Count, Range
from rlhf_jax.types.values import checked

loss = pairwise.loss
update = pairwise.update


def first(
  key: chex.PRNGKey,
  scores: chex.Array,
  candidate_mask: chex.Array,
  *,
  count: int,
) -> tuple[chex.Array, chex.Array]:
  """[count] indices and mask of the first candidates: a random choice."""
  del key, scores
  return jnp.arange(count), candidate_mask[:count]


def first_round(count: int, prefer: pairing.Prefer) -> list[pairing.Match]:
  """(winner, loser) of disjoint neighbours: half as many pairs as responses."""
  return pairing.play(pairing.first_round(count), prefer)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Pairs:
  """The paper's values for how pairs are made.

  Attributes:
    samples: responses to each prompt, before any is rejected.
    kept: of these, how many are accepted.
    select: (key, scores [N], candidate_mask [N], count) -> indices and mask, in
      jax, mapped over prompts; `selection.rejection_sample` with its beta, or
      `first`.
    judge: `judging.by_reward`, `judging.by_ranker`, or `judging.by_annotator`
      with an annotator bound.
    pair: (count, prefer) -> (winner, loser)s; `first_round`, or
      `pairing.tournament`.
    count: pairs; None makes those of each of the data's prompts once.
    batch_size: prompts at a time.
    sampling: of the responses.
  """

  samples: Count = 64
  kept: Annotated[int, Range(at_least=2), AtMost('samples')] = 8
  select: Annotated[Callable, Called(3, ('count',))] = functools.partial(
    selection.rejection_sample, beta=0.5
  )
  judge: judging.Judge = judging.by_reward
  pair: Annotated[Callable, Called(2)] = first_round
  count: Count | None = None
  batch_size: Count = 64
  sampling: Sampling = Sampling(temperature=0.7, top_k=40)


def build(
  records: Sequence[Record], queries: Any, *, config: Pairs
) -> list[Comparison]:
  """Pairs of what is accepted, with their scores where these decided.

  Equal texts count once, equal scores that decide make no pair, and a text that
  could not be judged is no candidate.
  """
  sampled = queries.sample(samples=config.samples, sampling=config.sampling)
  texts = list(map(ranking.distinct, sampled))
  prompts = [prompt_of(record) for record in records]
  judged = config.judge(prompts, texts, queries)
  judged_texts = judging.candidates(texts, judged)
  keeps = accepted([c.scores for c in judged_texts], queries.seeds, config)
  written = []
  for prompt, (row, scores, prefer), kept in zip(
    prompts, judged_texts, keeps, strict=True
  ):

    def choose(matches, kept=kept, prefer=prefer):
      return prefer([(kept[i], kept[j]) for i, j in matches])

    pairs = [
      (kept[winner], kept[loser])
      for winner, loser in config.pair(len(kept), choose)
    ]
    if judged.by_scores:
      pairs = pairing.decisive(pairs, scores)
    written += [
      Comparison(
        prompt,
        (row[winner], row[loser]),
        scores=(float(scores[winner]), float(scores[loser]))
        if judged.by_scores
        else None,
      )
      for winner, loser in pairs
    ]
  return written


def accepted(
  scores: Sequence[np.ndarray], seeds: Sequence[int], config: Pairs
) -> list[list[int]]:
  """The places that selection keeps of each prompt's candidates, in its order.

  Args:
    scores: of each prompt, [n] of its candidates; n may differ.
    seeds: one a prompt.
    config: a Pairs.
  """
  shape = (len(scores), config.samples)
  padded, there = np.zeros(shape, np.float32), np.zeros(shape, bool)
  for row, given in enumerate(scores):
    padded[row, : len(given)], there[row, : len(given)] = given, True
  select = functools.partial(config.select, count=config.kept)
  keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
  indices, kept = map(np.asarray, jax.vmap(select)(keys, padded, there))
  return [row[keep].tolist() for row, keep in zip(indices, kept, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(pairwise.Config, optimizers.Steps):
  """The paper's values, on AdamW in place of Adafactor."""

  objective: pairwise.Objective = functools.partial(losses.dpo, beta=0.05)
  batch_size: Count = 32
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-5)


# Pairs of a policy's samples, judged by a reward, a ranker or people.
pair_stages = DatasetMethod(
  name='rso_pairs',
  data='prompts',
  build=build,
  builds=Comparison,
  asked=judging.asked,
  sources={'policy': 'sft', 'judge': 'reward_model'},
)


# Where it starts from is also the reference.
stages = Method(
  name='rso',
  data='rso_pairs',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
  frozen={'reference': 'start'},
  precompute=pairwise.reference_logps,
)
