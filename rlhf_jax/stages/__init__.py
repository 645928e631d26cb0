"""Stages of an experiment, and the methods that make them, as data."""

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
  playing,
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
  'playing',
  'members',
  'names',
]
