"""The sampler of a policy, and the texts of its rollouts."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from rlhf_jax.generation import decode
from rlhf_jax.types import LanguageModel, Rollouts, Sampler


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
    pad_id: fills the columns after the end.
  """
  sample = functools.partial(
    decode.sample_loaded,
    model,
    max_response=max_response,
    stop_ids=stop_ids,
    pad_id=pad_id,
  )
  return Sampler(jax.jit(model.load), sample)


def response_texts(
  rollouts: Rollouts, decode_ids: Callable[[Sequence[int]], str]
) -> list[list[str]]:
  """The text of every response: B lists of K."""
  tokens, mask = map(np.asarray, rollouts.responses)
  return [
    [decode_ids(row[keep].tolist()) for row, keep in zip(*pair, strict=True)]
    for pair in zip(tokens, mask, strict=True)
  ]
