"""Responses to a prompt in the order of their scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf_jax.types import Comparison, Prompt


def ranked(
  prompt: Prompt, responses: Sequence[str], scores: np.ndarray
) -> Comparison:
  """Responses best first, with their scores; of equal ones the earlier first.

  Args:
    prompt: what was asked.
    responses: K texts.
    scores: [K] in reward units.
  """
  order = np.argsort(-np.asarray(scores), kind='stable')
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
    texts: N lists; equal ones count once. Prompts without any have no
      Comparison.
    tools: of a dataset stage.
  """
  asked = [
    Comparison(prompt, tuple(dict.fromkeys(listed)))
    for prompt, listed in zip(prompts, texts, strict=True)
    if listed
  ]
  return [
    ranked(*candidates[:2], scores)
    for candidates, scores in zip(asked, tools.score(asked), strict=True)
  ]
