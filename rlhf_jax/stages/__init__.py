"""Stages of an experiment, and the methods that make them, as data."""

from rlhf_jax.stages.method import Method, Online, Writer
from rlhf_jax.stages.stage import (
  DatasetStage,
  Ensemble,
  Fresh,
  Frozen,
  Pretrained,
  Queries,
  RecordBatch,
  Stage,
  Start,
  folder_of,
  members,
  names,
  playing,
)

__all__ = [
  'DatasetStage',
  'Ensemble',
  'Fresh',
  'Frozen',
  'Method',
  'Online',
  'Pretrained',
  'Stage',
  'Start',
  'Queries',
  'Writer',
  'RecordBatch',
  'folder_of',
  'playing',
  'members',
  'names',
]
