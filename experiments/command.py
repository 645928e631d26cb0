"""The name of the command that runs an experiment, for its --help."""

import sys


def name() -> str | None:
  """As `python -m experiments.rlp.views`, of the program that runs."""
  spec = sys.modules['__main__'].__spec__
  return None if spec is None else f'python -m {spec.name}'
