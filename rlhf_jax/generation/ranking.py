"""Responses to a prompt in the order of their scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf_jax.types import Comparison, Prompt


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
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], tools: Any
) -> list[Comparison]:
  """Each prompt's different texts, best first by the frozen reward.

  Args:
    prompts: N.
    texts: N lists; equal ones count once. Prompts without any that could be
      scored have no Comparison.
    tools: of a dataset stage.
  """
  asked = [
    Comparison(prompt, tuple(dict.fromkeys(listed)))
    for prompt, listed in zip(prompts, texts, strict=True)
    if listed
  ]
  found = [
    ranked(*candidates[:2], scores)
    for candidates, scores in zip(asked, tools.score(asked), strict=True)
  ]
  return [candidates for candidates in found if candidates.responses]
