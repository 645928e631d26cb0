"""Takes a model away: `python -m launch.export_weights STAGE DIR --original O`.

DIR becomes a folder that transformers loads, named, typed and laid out as the
folder that the model began from.
"""

import argparse
import pathlib
import sys

from launch import console, disk, errors, import_weights, signals

ROLES = ('policy', 'reward')


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
  parser.add_argument('folder', metavar='DIR', type=pathlib.Path)
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
    '--traceback', action='store_true', help='show errors whole'
  )
  return parser.parse_args(arguments)


def export_weights(options) -> None:
  """Writes the folder, or leaves nothing."""
  import jax

  from rlhf_jax import sharding
  from rlhf_jax.data import tokens
  from rlhf_jax.models import PARTITION_RULES, huggingface
  from rlhf_jax.storage import seals
  from rlhf_jax.training import checkpoints

  folder = _parameters(options.stage)
  config = huggingface.config_of(options.original)
  seals.verify(folder, delete=options.stage)
  like = checkpoints.abstract_params(folder)
  role = _role(like, options)
  mesh = sharding.make_mesh({'fsdp': -1})
  placed = sharding.shardings(like, PARTITION_RULES, mesh)
  like = jax.tree.map(
    lambda one, at: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=at),
    like,
    placed,
  )
  params = checkpoints.load_params(folder, like)
  params = params if role is None else params[role]
  settings = {}
  if 'head' in params and (options.original / 'tokenizer.json').is_file():
    # ForSequenceClassification finds the last token by what is no padding.
    settings['pad_token_id'] = tokens.load(options.original).pad_id
  huggingface.write(
    options.folder,
    config,
    params,
    original=options.original,
    dtype=options.dtype,
    settings=settings,
    out=sys.stderr,
  )
  size = disk.in_bytes(disk.size(options.folder))
  kind = 'reward model' if 'head' in params else 'language model'
  print(f'{options.folder}: a {kind}, {size}')


def _parameters(stage: pathlib.Path) -> pathlib.Path:
  """The folder of a stage's parameters.

  Raises:
    OptionError: there is none.
  """
  from rlhf_jax.storage import seals

  for folder in (stage / 'params', stage):
    if seals.sealed(folder):
      return folder
  raise errors.OptionError(
    f'{stage} holds no trained parameters; name the folder of a stage that is '
    'done'
  )


def _role(like, options):
  """Which entry of the parameters is written; None for all of them.

  Raises:
    OptionError: it is not said, or is none of them.
  """
  if 'embedding' in like or 'trunk' in like:
    return None
  found = [role for role in ROLES if role in like]
  if options.role is None and len(found) == 1:
    return found[0]
  if options.role not in like:
    raise errors.OptionError(
      f'{options.stage} has the parameters of {", ".join(like)}; say which '
      'of them with --role'
    )
  return options.role


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return import_weights.guarded(export_weights, parse(arguments))


if __name__ == '__main__':
  signals.leave(console.run(main))
