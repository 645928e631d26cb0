"""What runs keep on disk: `python -m launch.disk`, and `--remove`.

A stage is needed where the results of a run lead to it (OUT/stages), or where a
run began at its parameters. What no results need is left over from other
settings or other code.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from launch import console, errors, signals, train
from rlhf_jax.storage.sizes import in_bytes

COMPILED = '.compiled'
SHOWN = 3  # Settings that differ, in a row.
WIDEST = 48  # Letters of one of them, and of a run's path.
DAY = 86400.0  # Seconds in which a stopped run is expected to go on.


@dataclasses.dataclass(frozen=True)
class StoredFolder:
  """A folder of the stages' folder.

  Attributes:
    path: of the folder.
    stage: the stage that it is of; 'data' of a source's.
    runs: the results that lead to it.
    settings: by dotted name, what its config says.
    digest: of its settings and those of all that it builds on; '' where it is
      not known.
    done: whether the stage was finished.
    size: bytes.
    changed: seconds since the epoch.
  """

  path: pathlib.Path
  stage: str
  runs: Sequence[pathlib.Path]
  settings: Mapping[str, Any]
  digest: str
  done: bool
  size: int
  changed: float

  @property
  def spare(self) -> bool:
    """Whether no results need it, nor a run that may still go on."""
    left = self.done or time.time() - self.changed > DAY
    return left and not self.runs


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.disk',
    description='List the stages that are kept, which results need them, what '
    'differs between those of one name, and what they take.',
  )
  train.add_shared_arguments(parser)
  parser.add_argument(
    '--runs',
    type=pathlib.Path,
    help='folder of the results (default: the one that holds --stages)',
  )
  parser.add_argument(
    '--remove',
    action='store_true',
    help='remove the stages that no results need, unfinished ones once they '
    'are a day old, and encoded datasets that were not used for a day; a run '
    'that is under way keeps its own',
  )
  return parser.parse_args(arguments)


def stored(stages: pathlib.Path, runs: pathlib.Path) -> list[StoredFolder]:
  """All folders of stages, by stage, the newest first."""
  needed = users(stages, runs)
  found = []
  for path in stages.iterdir():
    if path.is_dir() and not path.name.startswith('.'):
      finished = _settings(path / 'done.json')
      found.append(
        StoredFolder(
          path=path,
          stage=path.name.rpartition('-')[0],
          runs=needed.get(path.resolve(), ()),
          settings=_settings(path / 'config.json'),
          digest=str(finished.get('settings', '')),
          done=(path / 'done.json').exists() or path.name.startswith('data-'),
          size=size(path),
          changed=path.stat().st_mtime,
        )
      )
  return sorted(found, key=lambda k: (k.stage, -k.changed))


def users(
  stages: pathlib.Path, runs: pathlib.Path
) -> dict[pathlib.Path, list[pathlib.Path]]:
  """{a stage's folder: the results that lead to it}.

  By the links that a run keeps of its stages, and by the folders of parameters
  that its settings name (`start.policy=…/params`).
  """
  found = {}
  for folder, folders, names in os.walk(runs):
    path = pathlib.Path(folder)
    if path.resolve() == stages.resolve():
      folders.clear()
    elif path.name == 'stages':
      for link in sorted(path.iterdir()):
        if link.is_symlink():
          found.setdefault(link.resolve(), []).append(path.parent)
    elif 'config.json' in names:
      for value in _settings(path / 'config.json').values():
        if isinstance(value, str) and '/' in value:
          given = pathlib.Path(value).resolve().parent
          if given.parent == stages.resolve():
            found.setdefault(given, []).append(path)
  return found


def rows(found: Sequence[StoredFolder], runs: pathlib.Path) -> list[list[str]]:
  """A table: a row a folder, and of one stage what differs from the first."""
  table = [['stage', 'needed by', 'differs in', 'size', 'age']]
  first = {}
  for one in found:
    base = first.setdefault(one.stage, one)
    names = [os.path.relpath(run, runs) for run in one.runs]
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    unneeded = '–' if one.done else '– (unfinished)'
    table.append(
      [
        one.path.name,
        _short(names[0]) + more if names else unneeded,
        differing(one, base) if one is not base else '',
        in_bytes(one.size),
        _age(time.time() - one.changed),
      ]
    )
  return table


def shown(table: list[list[str]]) -> str:
  """A line a folder; a line a cell in a terminal without room for them."""
  from rlhf_jax import progress
  from rlhf_jax.evaluation import tables

  text, room = tables.plain(table), progress.width(sys.stdout, sys.maxsize)
  if max(map(len, text.splitlines())) <= room:
    return text
  return tables.listed(table, room)


def differing(one: StoredFolder, base: StoredFolder) -> str:
  """'config.kl_coef=0.1 (0.05)', of the first few that differ."""
  here, there = one.settings, base.settings
  names = [
    name
    for name in sorted({*here, *there})
    if here.get(name) != there.get(name)
  ]
  if not names and not (one.digest and base.digest):
    return 'code, data, or settings that are not kept'
  if not names and one.digest == base.digest:
    return 'code, or files that are read'
  if not names:
    return 'seed, model, limits, or an earlier stage'
  said = [_short(f'{n}={here.get(n)} ({there.get(n)})') for n in names[:SHOWN]]
  more = len(names) - SHOWN
  return ', '.join(said) + (f' and {more} more' if more > 0 else '')


def encoded_folders(stages: pathlib.Path) -> list[pathlib.Path]:
  """The datasets that are kept as ids; any run makes them again."""
  from rlhf_jax.experiment.encoded_datasets import FOLDER

  folder = stages / FOLDER
  if not folder.is_dir():
    return []
  return sorted(p for p in folder.iterdir() if not p.name.startswith('.'))


def size(path: pathlib.Path) -> int:
  """Bytes of all files below a folder."""
  return sum(
    (pathlib.Path(folder) / name).lstat().st_size
    for folder, _, names in os.walk(path)
    for name in names
  )


def disk(options) -> None:
  """Lists the stages that are kept; with --remove, deletes what none needs."""
  from rlhf_jax.experiment import locks
  from rlhf_jax.storage import files

  if not options.stages.is_dir():
    raise errors.OptionError(
      f'there is no folder {options.stages}; give --stages the folder where '
      'runs keep their stages'
    )
  runs = options.runs or options.stages.parent
  found = stored(options.stages, runs)
  spare = [one for one in found if one.spare]
  print(shown(rows(found, runs)))
  compiled = size(options.stages / COMPILED)
  encoded = encoded_folders(options.stages)
  idle = [path for path in encoded if time.time() - path.stat().st_mtime > DAY]
  print(
    f'\n{in_bytes(sum(one.size for one in found))} in {len(found)} folders, '
    f'{in_bytes(sum(one.size for one in spare))} of it in {len(spare)} that '
    f'no results below {runs} need; compiled programs {in_bytes(compiled)}; '
    f'encoded datasets {in_bytes(sum(map(size, encoded)))} in {len(encoded)} '
    f'folders, {in_bytes(sum(map(size, idle)))} of it in {len(idle)} that were '
    'not used for a day'
  )
  if (spare or idle) and not options.remove:
    print('--remove removes what no results need, and what was not used')
  if not options.remove:
    return
  gone = 0
  for path in [*(one.path for one in spare), *idle]:
    lock = locks.Lock(options.stages, path.name, who='disk', console=sys.stdout)
    with lock:
      if lock.alone_if_free():
        gone += size(path)
        files.remove(path)
      else:
        print(f'{path.name} is kept: a run works on it')
  print(f'removed {in_bytes(gone)}')


def _settings(path):
  """A config.json by dotted names; empty where it is damaged."""
  from rlhf_jax.addressing import flatten

  try:
    return flatten(json.loads(path.read_text()))
  except (OSError, ValueError):
    return {}


def _short(text):
  return text if len(text) <= WIDEST else f'{text[: WIDEST - 1]}…'


def _age(seconds):
  for unit, length in (('d', 86400), ('h', 3600), ('min', 60)):
    if seconds >= length:
      return f'{seconds / length:.0f} {unit}'
  return f'{seconds:.0f} s'


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  options = parse(arguments)
  return train.guarded(disk, options)


if __name__ == '__main__':
  signals.leave(console.run(main))
