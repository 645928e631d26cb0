"""Pairs of a judge with --flips that a coin decides."""

from collections.abc import Sequence

import numpy as np

from launch import judges
from rlhf_jax.evaluation import simulated_annotators
from rlhf_jax.types import Prompt


def coins(
  judge: judges.Named,
  prompts: Sequence[Prompt],
  first: Sequence[str],
  second: Sequence[str],
) -> np.ndarray:
  """[N] bool, which pairs a coin decides; not of equal responses, a tie."""
  decided = simulated_annotators.by_coin(
    prompts, first, second, flips=judge.flips
  )
  differ = [a != b for a, b in zip(first, second, strict=True)]
  return np.array(decided, bool) & np.array(differ, bool)


def sentences(decided: np.ndarray) -> list[str]:
  """What there is to say of the coins of N pairs."""
  if not decided.any():
    return []
  return [
    f'A coin decided {decided.sum()} of {len(decided)} pairs, as --flips has '
    'it; how the order sways the judge is of the others.'
  ]
