"""Lets the processes of a run meet, then becomes the run.

`python -m launch.hosts runs -- launch.train FILE …` on every host; without
`-- …` it only checks. Launchers start every process so.
"""

import argparse
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
from collections.abc import Sequence

from launch.clusters import commands, environment, meeting

VERSIONS = ('jax', 'jaxlib', 'libtpu', 'flax', 'orbax-checkpoint')


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Reads the command line before its `--`."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.hosts',
    description='Check that all hosts of a run are here and can work together: '
    'the port, the variables, the code, the shared folder. Then run what '
    'stands behind --.',
  )
  parser.add_argument(
    'shared',
    type=pathlib.Path,
    help='folder of stages and results, which all hosts share',
  )
  parser.add_argument(
    '--wait',
    type=float,
    default=300.0,
    metavar='SECONDS',
    help='in which all hosts must be here (default: %(default)s)',
  )
  return parser.parse_args(arguments)


def code_of(root: pathlib.Path) -> str:
  """What must be the same on all hosts: our source, and what it stands on."""
  digest = hashlib.sha256()
  for folder in ('rlhf_jax', 'launch', 'experiments'):
    for path in sorted((root / folder).rglob('*.py')):
      digest.update(str(path.relative_to(root)).encode() + b'\0')
      digest.update(path.read_bytes() + b'\0')
  versions = [f'Python {platform.python_version()}']
  for name in VERSIONS:
    try:
      versions.append(f'{name} {importlib.metadata.version(name)}')
    except importlib.metadata.PackageNotFoundError:
      continue
  return f'source {digest.hexdigest()[:12]}, {", ".join(versions)}'


def check(shared: pathlib.Path, wait: float) -> environment.Place:
  """Meets the other processes, or says why not. Returns which one this is.

  Raises:
    MeetingError: what is wrong, in a sentence.
  """
  complaints = environment.complaints(
    os.environ, tpu_vm=environment.is_tpu_vm(os.environ)
  )
  if complaints:
    raise meeting.MeetingError('; '.join(complaints))
  place = environment.place()
  warnings = meeting.meet(place, shared, code=code_of(commands.ROOT), wait=wait)
  if place.process == 0:
    for warning in warnings:
      print(f'warning: {warning}', file=sys.stderr)
    print(f'all {place.processes} processes are here', flush=True)
  return place


def _checked(options):
  check(options.shared, options.wait)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line. Returns its exit status, unless it becomes a run."""
  own, run = commands.split(arguments)
  options = parse(own)
  status = commands.exit_status(lambda: _checked(options))
  if status or not run:
    return status
  # As this process, so that signals reach the run and nobody in between.
  os.execv(sys.executable, [sys.executable, '-m', *run])


if __name__ == '__main__':
  sys.exit(main())
