"""Responses to a prompt in the order of their scores."""

from collections.abc import Sequence

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
