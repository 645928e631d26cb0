"""Responses to a prompt in the order of their scores."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.types import Comparison, Prompt, Response


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
  """Equal texts once, in the order of the first; one that ended, if any did."""
  found: dict[str, str] = {}
  for text in texts:
    if text not in found or not Response.of(found[text]).ended:
      found[text] = text
  return tuple(found.values())


def ranked(
  prompt: Prompt, responses: Sequence[str], scores: np.ndarray
) -> Comparison:
  """Responses best first, with their scores; of equal ones the earlier first.

  Those without a score are left out.

  Args:
    prompt: what was asked.
    responses: K texts.
    scores: [K] in reward units, NaN of a response that could not be scored.
  """
  order = np.argsort(-np.asarray(scores), kind='stable')
  order = order[np.isfinite(scores)[order]]
  return Comparison(
    prompt,
    tuple(responses[i] for i in order),
    scores=tuple(float(scores[i]) for i in order),
  )


def by_reward(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], queries: Any
) -> list[Comparison]:
  """Each prompt's different texts, best first by the frozen reward.

  Args:
    prompts: N.
    texts: N lists; equal ones count once. Prompts without any that could be
      scored have no Comparison.
    queries: of a dataset stage.
  """
  asked = [
    Comparison(prompt, distinct(listed))
    for prompt, listed in zip(prompts, texts, strict=True)
    if listed
  ]
  found = [
    ranked(*candidates[:2], scores)
    for candidates, scores in zip(asked, queries.score(asked), strict=True)
  ]
  return [candidates for candidates in found if candidates.responses]
