"""Prepares a dataset: `python -m launch.prepare NAME --from DIR [--to DIR]`.

Once prepared, all recipes read it as `--set data=NAME`, or by its folder.
Without NAME the datasets are listed.
"""

import argparse
import contextlib
import io
import os
import pathlib
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from launch import console, disk, errors, import_weights, signals
from rlhf_jax import progress
from rlhf_jax.data import names, prepared
from rlhf_jax.storage import files
from rlhf_jax.storage.sizes import in_bytes
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Prompt,
  Rated,
  Record,
  prompt_of,
  responses_of,
)

EXAMPLES = 3  # Shown at the end.
LONGEST = 160  # Letters shown of a text.
# Of a class of records: its name for people, and what trains on it.
RECIPES = {
  Comparison: ('comparisons', 'dpo'),
  Demonstration: ('demonstrations', 'sft'),
  Prompt: ('prompts', 'grpo'),
  Rated: ('rated responses', ''),
}


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.prepare',
    description='Prepare a public dataset, or files of your own, once for all '
    'experiments.',
    epilog='Without NAME: which datasets there are, and where to have them.',
  )
  parser.add_argument('name', metavar='NAME', nargs='?', help='of the dataset')
  parser.add_argument(
    '--from',
    dest='source',
    type=pathlib.Path,
    metavar='DIR',
    help='folder of the files that you fetched',
  )
  parser.add_argument(
    '--to',
    type=pathlib.Path,
    metavar='DIR',
    help="folder of prepared datasets (default: TFDS_DATA_DIR, or TFDS's "
    '~/tensorflow_datasets)',
  )
  parser.add_argument(
    '--traceback', action='store_true', help='show errors whole'
  )
  return parser.parse_args(arguments)


def prepare(options) -> None:
  """Prepares the dataset that the command line names, or leaves nothing."""
  began, known = time.perf_counter(), builders()
  if options.name is None:
    return list_datasets(known)
  if options.name not in known:
    raise errors.OptionError(
      f'there is no dataset {names.quoted(options.name)}'
      f'{names.nearest(options.name, known)} There are {", ".join(known)}'
    )
  errors.check_folder('--to', options.to)
  to = options.to or prepared.data_dir()
  kind = known[options.name]
  builder = kind(data_dir=to)
  options.folder = pathlib.Path(builder.data_dir)
  if prepared.find(str(options.folder)):
    print(f'prepared already: {options.folder}; to do it again, delete it\n')
  elif options.folder.exists():
    raise errors.OptionError(
      f'{options.folder} is there and holds no prepared dataset; move it away'
    )
  elif options.source is None:
    raise errors.OptionError(
      f'--from says where the files are; {kind.MANUAL_DOWNLOAD_INSTRUCTIONS}'
    )
  else:
    write(builder, options.source)
  report(builder)
  print(
    f'\n{options.folder}: {in_bytes(disk.size(options.folder))}, '
    f'{time.perf_counter() - began:.0f} s'
  )
  print(f'next: {following(builder, None if options.to is None else to)}')
  return None


def builders() -> Mapping[str, type]:
  """The builders of all datasets, by name."""
  from rlhf_jax.data import builders as room

  found = (one for one in vars(room).values() if isinstance(one, type))
  datasets = (one for one in found if one is not room.FeedbackBuilder)
  return {one.name: one for one in sorted(datasets, key=lambda one: one.name)}


def list_datasets(known: Mapping[str, type]) -> None:
  """Prints what each dataset holds, and where to have it."""
  for name, kind in known.items():
    print(f'{name}: {kind.TITLE} ({kind.LICENCE})\n  {kind.SOURCE}')


def write(builder: Any, source: pathlib.Path) -> None:
  """Reads the files, and writes the dataset whole or not at all.

  Raises:
    DataError: a file is missing or bad.
    StorageError: the dataset cannot be written.
  """
  import tensorflow_datasets as tfds

  from rlhf_jax.data.builders import layouts

  layouts.first_there(
    source, builder.LAYOUTS, builder.MANUAL_DOWNLOAD_INSTRUCTIONS
  )
  builder.tracked = tracked
  folder = pathlib.Path(builder.data_dir)
  for left in folder.parent.glob('incomplete.*'):
    print(
      f'{left}: left by a kill; delete it if nobody writes', file=sys.stderr
    )
  tfds.disable_progress_bar()
  with (
    _refused(folder),
    tempfile.TemporaryDirectory() as scratch,
    contextlib.redirect_stdout(io.StringIO()),
  ):
    builder.download_and_prepare(
      download_dir=scratch,
      download_config=tfds.download.DownloadConfig(manual_dir=source),
    )


def tracked(items: Any, name: str) -> Iterator[Any]:
  """The items, with how far their reading or writing is."""
  unit = 'file' if name == 'reading' else 'record'
  return progress.track(items, name, len(items), out=sys.stderr, unit=unit)


@contextlib.contextmanager
def _refused(folder: pathlib.Path) -> Iterator[None]:
  """Turns what the system refuses into a StorageError; leaves no folder."""
  try:
    with files.naming(folder):
      yield
  except RuntimeError as error:  # As the writer in C++ has it.
    for number in files.ADVICE:
      if os.strerror(number) in str(error):
        raise files.StorageError.of(folder, OSError(number, '')) from error
    raise
  finally:
    with contextlib.suppress(OSError):  # It holds datasets, or is not there.
      folder.parent.rmdir()


def report(builder: Any) -> None:
  """Prints what a prepared dataset holds, and a few of its records."""
  metadata, info = builder.info.metadata, builder.info
  print(f'{builder.name} {builder.version}: {builder.TITLE}')
  print(f'licence: {builder.LICENCE}')
  for note in metadata['notes']:
    print(f'  {note}')
  for split, kinds in metadata['kinds'].items():
    said = ', '.join(f'{n} {kind}' for kind, n in kinds.items() if kind)
    count = info.splits[split].num_examples
    word, _ = RECIPES[builder.RECORD]
    print(f'{split}: {count} {word}' + (f' ({said})' if said else ''))
  if len(metadata['kinds']) > 1:
    print(f'openings on both sides: {metadata["on_both_sides"]}')
  first = next(iter(metadata['kinds']))
  for record in prepared.Split(builder.data_path / first)[:EXAMPLES]:
    print('\n' + shown(record))


def shown(record: Record) -> str:
  """A record as a person reads it, long texts cut."""
  prompt = prompt_of(record)
  lines = [f'{prompt.where} {prompt.kind}'.rstrip(), _cut(prompt.text)]
  numbers = [''] * len(responses_of(record))
  if isinstance(record, Comparison) and record.scores:
    numbers = [f'{score:g}: ' for score in record.scores]
  if isinstance(record, Rated):
    said = ('–' if x is None else f'{x:g}' for x in record.ratings)
    numbers = [f'{" ".join(said)}: ']
  for number, text in zip(numbers, responses_of(record), strict=True):
    lines.append(f'  → {number}{_cut(text)}')
  return '\n'.join(lines)


def _cut(text: str) -> str:
  line = ' '.join(text.split())
  return line if len(line) <= LONGEST else f'{line[: LONGEST - 1]}…'


def following(builder: Any, to: pathlib.Path | None) -> str:
  """The commands, or the Python, that read the dataset next.

  Args:
    builder: of the dataset.
    to: the folder of prepared datasets; None for TFDS's own.
  """
  from rlhf_jax.evaluation.questions import BENCHMARKS

  _, recipe = RECIPES[builder.RECORD]
  asked = [n for n, of in BENCHMARKS.items() if of.dataset == builder.name]
  if asked:
    where = '' if to is None else f'TFDS_DATA_DIR={shlex.quote(str(to))} '
    command = f'{where}python -m launch.evaluate --judge JUDGE'
    compared = f'{command} --benchmark {asked[0]} --policy A --against B'
    if builder.RECORD is Prompt:
      return compared
    return f'{command} --pairs {builder.name}\nor: {compared}'
  if not recipe or 'train' not in builder.info.splits:
    split = next(iter(builder.info.splits))
    return f"rlhf_jax.data.prepared.Split('{builder.data_dir}/{split}')"
  data = builder.name if to is None else to / builder.name
  return (
    f'python -m launch.train experiments/finetune/{recipe}.py --set data={data}'
  )


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return import_weights.guarded(prepare, parse(arguments))


if __name__ == '__main__':
  signals.leave(console.run(main))
