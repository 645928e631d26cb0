"""What is said of an error: a sentence, or that nobody foresaw it.

An error that its user can mend is one sentence: what the system refuses, memory
that does not suffice, a package that is missing, and every refusal of ours.
Anything else is a bug, of ours or of what was plugged in: its traceback is
written to a file, and the command ends with 70.
"""

import contextlib
import datetime
import dis
import importlib.metadata
import json
import pathlib
import platform
import shlex
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

from launch import console

FAILED = 1
UNEXPECTED = 70  # EX_SOFTWARE, as sysexits.h calls a bug.
# The kinds of errors that become a sentence; of a ValueError it depends on who
# raised it, see `refused`.
MENDABLE = (ValueError, OSError, FloatingPointError, MemoryError)
OURS = ('rlhf_jax', 'launch', 'experiments')
PACKAGES = ('rlhf_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint')
NO_MEMORY = ('RESOURCE_EXHAUSTED', 'Out of memory')  # As XLA says it.
OUT_OF_MEMORY = (
  'lower the batch_size of the stage or of the evaluation, the limits of '
  'tokens, or the sizes of the model, or share them among more devices (mesh)'
)
_LIBRARIES = tuple(
  sysconfig.get_path(name) for name in ('stdlib', 'purelib', 'platlib')
)


def tell(error: Exception, options: Any) -> int:
  """Says what went wrong. Returns the exit status.

  Args:
    error: that ended a command.
    options: of the command line.
  """
  if isinstance(error, BrokenPipeError) and console.reader_is_gone():
    raise error  # To `console.run`: nobody reads what is said here.
  if options.traceback:
    traceback.print_exception(error)
  said = sentence(error)
  if said is not None:
    print(f'error: {said}', file=sys.stderr)
    return FAILED
  out = getattr(options, 'resume', None) or getattr(options, 'out', None)
  print(f'error: {unexpected(error, options, out)}', file=sys.stderr)
  return UNEXPECTED


def sentence(error: BaseException) -> str | None:
  """What an error says to its user; None if it is not the user's to mend."""
  words = ' '.join(str(error).split())
  if isinstance(error, MemoryError) or any(x in words for x in NO_MEMORY):
    return f'out of memory{f" ({words[:200]})" if words else ""}; ' + (
      OUT_OF_MEMORY
    )
  if isinstance(error, OSError) and error.errno is not None:
    names = (error.filename, error.filename2)
    paths = ' and '.join(str(name) for name in names if name is not None)
    return f'{paths}: {error.strerror}' if paths else str(error.strerror)
  if isinstance(error, ModuleNotFoundError) and _foreign(error.name):
    return (
      f'the package {error.name} is not installed, and {place(error)} needs it'
    )
  return str(error) if refused(error) else None


def refused(error: BaseException) -> bool:
  """Whether code of ours raised an error on purpose.

  It did if the error's class is ours, or if it is an error of a value that a
  `raise` statement of ours raised. What Python, numpy or jax raised on the way
  through our code is an accident, whatever its class.
  """
  if type(error).__module__.split('.')[0] in OURS:
    return True
  if not (isinstance(error, (*MENDABLE, TypeError)) and raised(error)):
    return False
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  return ours(frame)


def raised(error: BaseException) -> bool:
  """Whether a `raise` statement raised an error, and not a call in C."""
  trace = error.__traceback__
  while trace is not None and trace.tb_next is not None:
    trace = trace.tb_next
  if trace is None:
    return False
  instruction = trace.tb_frame.f_code.co_code[trace.tb_lasti]
  return dis.opname[instruction] == 'RAISE_VARARGS'


def ours(frame: FrameType, packages: Sequence[str] = OURS) -> bool:
  """Whether a frame runs code of these packages."""
  spec = frame.f_globals.get('__spec__')  # `python -m` changes only __name__.
  name = spec.name if spec else frame.f_globals.get('__name__', '')
  return name.split('.')[0] in packages


def places(error: BaseException) -> list[tuple[FrameType, int]]:
  """The frames and lines that an error came through, libraries left out."""
  return [
    (frame, line)
    for frame, line in traceback.walk_tb(error.__traceback__)
    if ours(frame)
    or not frame.f_code.co_filename.startswith((*_LIBRARIES, '<'))
  ]


def place(error: BaseException) -> str:
  """Where an error came from: `reward (my/rewards.py:12)`."""
  found = places(error)
  return _named(*found[-1]) if found else 'something'


def shown(path: str | pathlib.Path) -> str:
  """A path, from the working folder where it lies below."""
  path = pathlib.Path(path)
  with contextlib.suppress(ValueError, OSError):
    return str(path.absolute().relative_to(pathlib.Path.cwd()))
  return str(path)


def unexpected(
  error: BaseException, options: Any, folder: pathlib.Path | None
) -> str:
  """Writes an error down for a report. Returns what its user is told.

  Args:
    error: that nobody foresaw.
    options: of the command line.
    folder: where the traceback goes; a temporary one where None, or where that
      cannot be written to.
  """
  words = ' '.join(str(error).split())[:300]
  where, found = '', places(error)
  if found:
    where = f', in {_named(*found[-1])}'
    theirs = [at for at in found if not ours(at[0], ('rlhf_jax', 'launch'))]
    if theirs and theirs[-1] != found[-1]:
      where += f', called from {_named(*theirs[-1])}'
  path = _write(_report(error, options), folder)
  if path is None:
    traceback.print_exception(error)
  written = f'is in {path}' if path else 'is above'
  return (
    f'unexpected {type(error).__name__}: {words}{where}. This is a bug of '
    'rlhf_jax, or of what was plugged in, and no mistake of the command. The '
    f'traceback {written}; to report it, open an issue of the project with all '
    'that this says'
  )


def _named(frame, line):
  return f'{frame.f_code.co_name} ({shown(frame.f_code.co_filename)}:{line})'


def _foreign(module):
  return module is not None and module.split('.')[0] not in OURS


def _report(error, options) -> str:
  """All that whoever mends an error asks for first."""
  versions = [f'Python {platform.python_version()}, {platform.platform()}']
  for name in PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions.append(f'{name} {importlib.metadata.version(name)}')
  return '\n'.join(
    (
      f'date: {datetime.datetime.now().isoformat(timespec="seconds")}',
      f'command: {shlex.join(sys.orig_argv)}',
      f'versions: {", ".join(versions)}',
      '',
      ''.join(traceback.format_exception(error)),
      *(f'config of {file}: {text}' for file, text in _configs(options)),
    )
  )


def _configs(options):
  """The files of a command, and the whole config that each says."""
  from launch import loading
  from rlhf_jax.experiment import describe

  files = getattr(options, 'files', None) or [getattr(options, 'file', None)]
  for file in filter(None, files):
    text = 'could not be built'
    with contextlib.suppress(Exception):
      module = loading.load(pathlib.Path(file))
      experiment = loading.build(module, options.set)
      text = json.dumps(describe.describe(experiment), indent=2)
    yield file, text


def _write(text, folder) -> pathlib.Path | None:
  """Writes a report where that is possible. Returns its path."""
  name = f'error-{datetime.datetime.now():%Y%m%d-%H%M%S}.txt'
  for make in (lambda: folder, lambda: pathlib.Path(tempfile.mkdtemp())):
    with contextlib.suppress(OSError, TypeError):
      path = pathlib.Path(make()) / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text, encoding='utf-8', errors='replace')
      return path
  return None
