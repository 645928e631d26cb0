"""Other programs' commands, run or only printed, and when a run is restarted.

`gcloud`, `kubectl` and `sbatch` do the work; what is here says which of their
commands, in which order, and with `--dry-run` prints them as they would run.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from launch import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a run that can go on ends with: 75 it was preempted and has saved, or a
# process of it died; 134 its runtime aborted, for a process died; 143 SIGTERM
# ended it before it could save. Errors of its user are none of them.
RESTARTED = (75, 134, 143)
CODES = ':'.join(map(str, RESTARTED))  # As scripts take them.
RESTARTS = 20  # Of one run, by default.
INSTALL = {
  'gcloud': 'https://cloud.google.com/sdk/docs/install',
  'kubectl': 'gcloud components install kubectl gke-gcloud-auth-plugin',
  'xpk': 'pip install xpk',
  'sbatch': 'run this where jobs are submitted, on a login node',
}


# (options, shell) -> exit status, None for 0; what stands behind -- is in
# `options.behind`.
Verb = Callable[[argparse.Namespace, 'Shell'], int | None]


class CommandError(RuntimeError):
  """A command of another program that failed or could not be run."""


@dataclasses.dataclass(frozen=True)
class Shell:
  """Runs commands of other programs.

  Attributes:
    dry_run: print them, as a shell would take them, and run none.
  """

  dry_run: bool = False

  def run(self, command: Sequence[str], *, text: str | None = None) -> None:
    """Runs a command, on whose standard input `text` is, to its end.

    Raises:
      CommandError: it is not there, or it fails.
    """
    self._call(command, text, check=True)

  def status(self, command: Sequence[str]) -> int:
    """Runs a command. Returns its exit status; 0 when nothing is run."""
    return self._call(command, None, check=False)

  def read(self, command: Sequence[str]) -> str | None:
    """What a command prints; None where it fails; '' when nothing is run.

    Without its notices: who asks once a minute is not told each time.
    """
    if self.dry_run:
      print(shlex.join(command))
      return ''
    done = self._started(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None

  def start(self, command: Sequence[str]) -> subprocess.Popen | None:
    """Starts a command that goes on beside; None when nothing is run."""
    if self.dry_run:
      print(f'{shlex.join(command)} &')
      return None
    with _found(command):
      return subprocess.Popen(command)

  def _call(self, command, text, check):
    if self.dry_run:
      here = f" <<'EOF'\n{text.rstrip()}\nEOF" if text else ''
      print(shlex.join(command) + here)
      return 0
    done = self._started(command, input=text, text=True)
    if check and done.returncode:
      raise CommandError(
        f'`{shlex.join(command)}` ended with {done.returncode}; what it said '
        'is above'
      )
    return done.returncode

  def _started(self, command, **options):
    sys.stdout.flush()
    with _found(command):
      return subprocess.run(command, check=False, **options)


@contextlib.contextmanager
def _found(command):
  """Names a program that is not there."""
  try:
    yield
  except FileNotFoundError as e:
    how = INSTALL.get(command[0])
    raise CommandError(
      f'{command[0]} is not installed, or not on the PATH'
      + (f': {how}' if how else '')
    ) from e


def split(arguments: Sequence[str] | None) -> tuple[list[str], list[str]]:
  """A command line before its first `--`, and behind it."""
  given = list(sys.argv[1:] if arguments is None else arguments)
  if '--' not in given:
    return given, []
  at = given.index('--')
  return given[:at], given[at + 1 :]


def program(command: Sequence[str]) -> list[str]:
  """What `python -m` runs on every process: a module and its arguments.

  Raises:
    OptionError: no module is named, or an experiment that is not there.
  """
  if not command or not command[0].startswith('launch.'):
    raise errors.OptionError(
      'name what is to run behind --, as in `-- launch.train '
      'experiments/rlhf/sandbox.py --set seed=1`'
    )
  for word in command[1:]:
    if word.endswith('.py') and not (ROOT / word).is_file():
      raise errors.OptionError(
        f'{word} is not a file below {ROOT}, which is what goes to the hosts'
      )
  processes = [] if '--processes' in command else ['--processes', 'auto']
  return [*command, *processes]


def parsers(
  prog: str, description: str, verbs: Mapping[str, Verb]
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
  """The parser of a launcher, and one for each of its verbs."""
  parser = argparse.ArgumentParser(prog=prog, description=description)
  subs = parser.add_subparsers(dest='verb', required=True, metavar='WHAT')
  found = {}
  for verb, function in verbs.items():
    said = function.__doc__
    found[verb] = subs.add_parser(verb, help=said, description=said)
    found[verb].add_argument(
      '--dry-run', action='store_true', help='print the commands and run none'
    )
  return parser, found


def run(
  parse: Callable[[Sequence[str]], argparse.Namespace],
  verbs: Mapping[str, Verb],
  arguments: Sequence[str] | None,
) -> int:
  """Runs a launcher's command line, whatever its verb. Its exit status."""
  own, behind = split(arguments)
  options = parse(own)
  options.behind, shell = behind, Shell(options.dry_run)
  return exit_status(lambda: verbs[options.verb](options, shell))


def add_restarts(parser: argparse.ArgumentParser) -> None:
  codes = ', '.join(map(str, RESTARTED))
  parser.add_argument(
    '--restarts',
    type=int,
    default=RESTARTS,
    help=f'how often a run that ends with {codes} is started again (default: '
    '%(default)s)',
  )


def exit_status(command: Callable[[], int | None]) -> int:
  """Runs a launcher; what its user can mend is one sentence. Its status."""
  try:
    return command() or 0
  except Exception as e:
    said = errors.sentence(e)
    if said is None:
      raise
    print(f'error: {said}', file=sys.stderr)
    return 1
