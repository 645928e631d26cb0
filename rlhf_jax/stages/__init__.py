"""What a method says of its place in an experiment: stages, as data."""

from rlhf_jax.stages.method import Method, Online, Writer
from rlhf_jax.stages.stage import (
  DatasetStage,
  Ensemble,
  Frozen,
  Queries,
  RecordBatch,
  Stage,
  is_folder,
  members,
  names,
)

__all__ = [
  'DatasetStage',
  'Ensemble',
  'Frozen',
  'Method',
  'Online',
  'Stage',
  'Queries',
  'Writer',
  'RecordBatch',
  'is_folder',
  'members',
  'names',
]
