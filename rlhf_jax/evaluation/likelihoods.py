"""How likely held-out demonstrations are to policies, token by token."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.samples import prompt_groups
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.types import Prompt


class Likelihood(NamedTuple):
  """A policy on N demonstrations.

  Attributes:
    loss: −log-prob, nats a token.
    fall: by how much the loss is less than another policy's on the same
      demonstrations, nats a token; None for that policy itself.
    perplexity: exp(loss).
    tokens: of all responses together.
    count: N.
  """

  loss: Estimate
  fall: Estimate | None
  perplexity: float
  tokens: int
  count: int


def measure(
  logps: Mapping[str, Sequence[float]],
  lengths: np.ndarray,
  *,
  against: str,
  prompts: Sequence[Prompt],
) -> dict[str, Likelihood]:
  """Measures policies on N responses.

  Args:
    logps: {policy: [N] log-probs of whole responses, in nats}.
    lengths: [N] tokens of each.
    against: the policy that the others are compared with.
    prompts: N; responses to an equal prompt are one cluster in the intervals.
  """
  groups, found = prompt_groups(prompts), {}
  for name, own in logps.items():
    loss = per_token(-np.array(own), lengths, groups)
    fall = None
    if name != against:
      gained = np.array(own) - np.array(logps[against])
      fall = per_token(gained, lengths, groups)
    found[name] = Likelihood(
      loss=loss,
      fall=fall,
      perplexity=math.exp(loss.value),
      tokens=int(np.sum(lengths)),
      count=len(lengths),
    )
  return found


def per_token(
  totals: np.ndarray, lengths: np.ndarray, groups: np.ndarray
) -> Estimate:
  """Σ totals / Σ lengths, of [N] each, its error that of a ratio of means.

  The error is that of the mean of (total − ratio · length) / mean length.
  """
  ratio = np.sum(totals) / np.sum(lengths)
  residuals = (totals - ratio * lengths) / np.mean(lengths)
  return statistics.mean(ratio + residuals, groups)
