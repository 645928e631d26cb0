"""What scripts share that read reward against KL off runs that are done."""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.experiment import measuring
from rlhf_jax.experiment.chain import Chain


def along_training(chain: Chain) -> dict[str, RewardCurve]:
  """A row for each round of every online policy, on its training prompts.

  KL is to the policy that it started from, before the round's update.
  """
  return measuring.reward_curves(measuring.learning_curves(chain))


def in_stretches(curve: RewardCurve, rows: int) -> RewardCurve:
  """Means over as many neighbouring rounds, the last stretch maybe longer."""
  count = max(1, len(curve.steps) // rows)
  return RewardCurve(
    *(
      np.array([part.mean() for part in np.array_split(column, count)])
      for column in curve
    )
  )


def over_seeds(curves: Sequence[RewardCurve]) -> RewardCurve:
  """The mean of several runs' curves, round by round."""
  return RewardCurve(
    *(np.mean(columns, axis=0) for columns in zip(*curves, strict=True))
  )


def arguments(doc: str, png: str) -> argparse.Namespace:
  """Reads seeds, where stages are, and where the plot goes."""
  parser = argparse.ArgumentParser(description=doc)
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  parser.add_argument('--png', type=pathlib.Path, default=png)
  options = parser.parse_args()
  options.png.parent.mkdir(parents=True, exist_ok=True)
  return options
