"""Takes a model away: `python -m launch.export_weights STAGE DIR --original O`.

DIR becomes a folder that transformers loads, named, typed and laid out as the
folder that the model began from.
"""

import argparse
import pathlib

from launch import console, disk, import_weights, signals
from rlhf_jax.storage.sizes import in_bytes


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.export_weights',
    description='Write what a stage trained as a folder of transformers.',
  )
  parser.add_argument(
    'stage',
    metavar='STAGE',
    type=pathlib.Path,
    help="a stage's folder, or that of its parameters",
  )
  parser.add_argument(
    'folder',
    metavar='DIR',
    type=pathlib.Path,
    help='where it goes, a new folder',
  )
  parser.add_argument(
    '--original',
    type=pathlib.Path,
    required=True,
    metavar='O',
    help='the folder that the model began from',
  )
  parser.add_argument(
    '--role', help='which of the models that the stage trained'
  )
  parser.add_argument(
    '--dtype',
    choices=('float32', 'bfloat16', 'float16'),
    help="of all tensors (default: the original's)",
  )
  parser.add_argument(
    '--adapters',
    action='store_true',
    help="write adapters alone, in PEFT's format (default: they are merged)",
  )
  parser.add_argument(
    '--traceback', action='store_true', help='show errors whole'
  )
  return parser.parse_args(arguments)


def export_weights(options) -> None:
  """Writes the folder that the command line asks for."""
  from launch import exporting

  kind = exporting.export(
    options.stage,
    options.folder,
    original=options.original,
    role=options.role,
    dtype=options.dtype,
    adapters=options.adapters,
  )
  size = in_bytes(disk.size(options.folder))
  print(f'{options.folder}: a {kind}, {size}')


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return import_weights.guarded(export_weights, parse(arguments))


if __name__ == '__main__':
  signals.leave(console.run(main))
