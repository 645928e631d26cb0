"""Printing an error: one sentence or, of a bug, a report for developers.

A bug's traceback is written to a file, with the command, the versions and the
config, and the command ends with 70.
"""

import contextlib
import datetime
import importlib.metadata
import json
import pathlib
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from launch import console, errors, joining, loading
from rlhf_jax import processes

FAILED = 1
UNEXPECTED = 70  # EX_SOFTWARE, as sysexits.h calls a bug.
PACKAGES = ('rlhf_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint')


def report_errors(command: Callable[[Any], int | None], options: Any) -> int:
  """Runs a command, and says what went wrong. Returns the exit status."""
  try:
    return command(options) or 0
  except Exception as error:
    return tell(error, options)


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
  said = errors.sentence(error)
  if joining.joined() and errors.is_lost(error):
    print(f'error: {errors.LOST}', file=sys.stderr)
    return joining.AGAIN
  if said is not None:
    # Of an error that all processes have, the first one tells.
    if not joining.joined() or processes.first() or not processes.agreed(error):
      print(f'error: {said}', file=sys.stderr)
    return FAILED
  out = getattr(options, 'resume', None) or getattr(options, 'out', None)
  print(f'error: {unexpected(error, options, out)}', file=sys.stderr)
  return UNEXPECTED


def unexpected(
  error: BaseException, options: Any, folder: pathlib.Path | None
) -> str:
  """Writes a report of an error. Returns the message for its user.

  Args:
    error: that nobody foresaw.
    options: of the command line.
    folder: where the traceback goes; a temporary one where None, or where that
      cannot be written to.
  """
  words = ' '.join(str(error).split())[:300]
  where, found = '', errors.places(error)
  if found:
    where = f', in {errors.named(*found[-1])}'
    theirs = [
      at for at in found if not errors.ours(at[0], ('rlhf_jax', 'launch'))
    ]
    if theirs and theirs[-1] != found[-1]:
      where += f', called from {errors.named(*theirs[-1])}'
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


def _report(error, options) -> str:
  """Date, command, versions, traceback and configs, for developers."""
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
  """(file, its whole config as JSON) of the files of a command."""
  from rlhf_jax.addressing import describe

  files = getattr(options, 'files', None) or [getattr(options, 'file', None)]
  for file in filter(None, files):
    text = 'could not be built'
    with contextlib.suppress(Exception):
      module = loading.load(pathlib.Path(file))
      experiment = loading.build(module, options.set)
      text = json.dumps(describe(experiment), indent=2)
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
