"""Samplers, scorers and text of rollouts: what online methods are handed."""

import functools
from collections.abc import Callable, Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import decode, scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import (
  Comparisons,
  LanguageModel,
  Params,
  Prompt,
  Prompts,
  Reward,
  Rollouts,
  Sampler,
  ScalarModel,
  Scorer,
  flatten_candidates,
)


@functools.lru_cache
def policy_sampler(
  model: LanguageModel,
  *,
  max_response: int,
  stop_ids: tuple[int, ...],
  pad_id: int,
) -> Sampler:
  """A sampler that decodes with `model` itself.

  Args:
    model: the policy.
    max_response: R, tokens at most in a response.
    stop_ids: tokens that end one, themselves kept.
    pad_id: what fills the columns after the end.
  """

  def sample(
    loaded: Params,
    prompts: Prompts,
    key: chex.PRNGKey,
    *,
    samples: int,
    sampling: Sampling,
  ) -> Rollouts:
    return decode.sample_loaded(
      model,
      loaded,
      prompts,
      key,
      samples=samples,
      max_response=max_response,
      sampling=sampling,
      stop_ids=stop_ids,
      pad_id=pad_id,
    )

  return Sampler(jax.jit(model.load), sample)


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


def response_texts(
  rollouts: Rollouts, decode_ids: Callable[[Sequence[int]], str]
) -> list[list[str]]:
  """The text of every response: B lists of K."""
  tokens, mask = map(np.asarray, rollouts.responses)
  return [
    [decode_ids(row[keep].tolist()) for row, keep in zip(*pair, strict=True)]
    for pair in zip(tokens, mask, strict=True)
  ]
