"""Reward against KL, off finished runs."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.readings import runs
from rlhf_jax.evaluation import plots
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.experiment import measuring
from rlhf_jax.experiment.prepared import Run


def along_training(chain: Run) -> dict[str, RewardCurve]:
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


def over_seeds(
  seeds: Sequence[Mapping[str, RewardCurve]],
) -> dict[str, RewardCurve]:
  """The mean of several runs' curves of each name, row by row."""
  return {
    name: RewardCurve(
      *(
        np.mean(columns, axis=0)
        for columns in zip(*(seed[name] for seed in seeds), strict=True)
      )
    )
    for name in seeds[0]
  }


def write(
  folder: pathlib.Path, name: str, curves: Mapping[str, RewardCurve]
) -> None:
  """Writes curves as JSON, and draws them."""
  content = {
    title: {part: column.tolist() for part, column in curve._asdict().items()}
    for title, curve in curves.items()
  }
  runs.write(
    folder, name, content, lambda path: plots.reward_curves(path, curves)
  )
