"""Scorers of rollouts: learnt reward models, or whoever reads the text."""

import functools
from collections.abc import Callable, Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.feedback import scoring
from rlhf_jax.generation.rollouts import response_texts
from rlhf_jax.types import (
  Comparisons,
  Params,
  Prompt,
  Reward,
  Rollouts,
  ScalarModel,
  Scorer,
  flatten_candidates,
)


def first(members: chex.Array) -> chex.Array:
  """[E, ...] -> [...]: the scores of one reward model, E = 1."""
  return members[0]


@functools.lru_cache
def model_scorer(
  model: ScalarModel, combine: Callable[[chex.Array], chex.Array] = first
) -> Scorer:
  """The first score of the frozen reward models, `frozen['reward']`.

  Args:
    model: of each.
    combine: scores [E, N] of E models, a sequence of whose parameters is
      frozen, to [N]; by default those of one, whose parameters are.
  """

  @jax.jit
  def score(params, tokens, attention_mask):
    members = (params,) if combine is first else params
    scores = [model.scores(p, tokens, attention_mask)[:, 0] for p in members]
    return combine(jnp.stack(scores))

  def scorer(
    frozen: Mapping[str, Params], rollouts: Rollouts | Comparisons
  ) -> chex.Array:
    flat = flatten_candidates((rollouts.tokens, rollouts.attention_mask))
    scores = score(frozen['reward'], *flat)
    return scores.reshape(rollouts.tokens.shape[:2])

  return scorer


def text_scorer(
  reward: Reward,
  records: Sequence[Prompt],
  decode_ids: Callable[[Sequence[int]], str],
) -> Scorer:
  """Scores the decoded text: a program that checks an answer, or a judge.

  Args:
    reward: (prompts, responses) -> [N]; a response without a score has NaN.
    records: the dataset that rollouts' `index` points into, again from the
      start where it goes beyond the end.
    decode_ids: token ids -> text.
  """

  def scorer(frozen: Mapping[str, Params], rollouts: Rollouts) -> chex.Array:
    del frozen
    batch, samples = rollouts.tokens.shape[:2]
    prompts = [
      records[i % len(records)]
      for i in np.asarray(rollouts.index)
      for _ in range(samples)
    ]
    texts = [t for row in response_texts(rollouts, decode_ids) for t in row]
    scores = jnp.asarray(scoring.ask(reward, prompts, texts), jnp.float32)
    return scores.reshape(batch, samples)

  return scorer
