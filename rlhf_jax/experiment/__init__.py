"""Experiments as data, and running them."""

from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment.definition import (
  Answering,
  Evaluation,
  Experiment,
  ExperimentError,
)
from rlhf_jax.experiment.models import models_of
from rlhf_jax.experiment.run import check_same, prepare, run
from rlhf_jax.stages import DatasetStage, Ensemble, Stage

__all__ = [
  'Answering',
  'DatasetStage',
  'Ensemble',
  'Evaluation',
  'Experiment',
  'ExperimentError',
  'Stage',
  'Limits',
  'check_same',
  'models_of',
  'prepare',
  'run',
]
