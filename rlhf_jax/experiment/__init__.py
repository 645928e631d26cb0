"""Experiments as data, and running them."""

from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment.definition import (
  Evaluation,
  Experiment,
  ExperimentError,
  FittedReward,
  PolicyVariant,
)
from rlhf_jax.experiment.models import models_of
from rlhf_jax.experiment.ordering import ordered
from rlhf_jax.experiment.pretrained import PretrainedReward
from rlhf_jax.experiment.run import check_same, prepare, run
from rlhf_jax.stages import (
  DatasetStage,
  Ensemble,
  Fresh,
  ImplicitReward,
  Pretrained,
  Stage,
)
from rlhf_jax.training.learner import learner_of

__all__ = [
  'PolicyVariant',
  'DatasetStage',
  'Ensemble',
  'Evaluation',
  'Experiment',
  'ExperimentError',
  'FittedReward',
  'Fresh',
  'ImplicitReward',
  'Pretrained',
  'PretrainedReward',
  'Stage',
  'Limits',
  'check_same',
  'learner_of',
  'models_of',
  'ordered',
  'prepare',
  'run',
]
