"""What the commands of experiments are called."""

import sys


def name() -> str | None:
  """As `python -m experiments.rlp.views`, of the program that runs."""
  spec = sys.modules['__main__'].__spec__
  return None if spec is None else f'python -m {spec.name}'
