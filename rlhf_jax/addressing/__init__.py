"""Hashes and names of results by all that their content depends on."""

from rlhf_jax.addressing.code import Code
from rlhf_jax.addressing.description import (
  describe,
  digest,
  field_values,
  flatten,
  hashed,
  import_path,
)
from rlhf_jax.addressing.syntax import NoSourceError

__all__ = [
  'Code',
  'NoSourceError',
  'describe',
  'digest',
  'field_values',
  'flatten',
  'hashed',
  'import_path',
]
