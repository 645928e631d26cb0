"""Stages of an experiment, and the methods that make them, as data."""

from rlhf_jax.stages.method import Method, Online, Writer
from rlhf_jax.stages.stage import (
  AnyStage,
  DatasetStage,
  Ensemble,
  Frozen,
  Queries,
  RecordBatch,
  Stage,
  datasets,
  is_folder,
  members,
  names,
  parameter_sources,
  playing,
  producing,
)

__all__ = [
  'AnyStage',
  'DatasetStage',
  'Ensemble',
  'Frozen',
  'Method',
  'Online',
  'Queries',
  'RecordBatch',
  'Stage',
  'Writer',
  'datasets',
  'is_folder',
  'members',
  'names',
  'parameter_sources',
  'playing',
  'producing',
]
