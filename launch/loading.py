"""Experiment files: importing one, and telling its own errors.

An error of such a file is a sentence with the file and the line that its writer
knows, whatever of ours or of Python's stood in between.
"""

import dataclasses
import importlib.util
import inspect
import pathlib
import re
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from launch import errors
from rlhf_jax.data import names

AS = (
  'an experiment file has a frozen dataclass Settings and '
  'config(settings) -> Experiment'
)
LIBRARY = ('rlhf_jax', 'launch')


def load(file: pathlib.Path) -> ModuleType:
  """Imports an experiment file: its `Settings` and its `config`.

  Raises:
    ExperimentError: there is no such file, or it cannot be imported.
  """
  _check_file(file)
  name = '_'.join(('experiment', *file.with_suffix('').parts[-2:]))
  spec = importlib.util.spec_from_file_location(name, file)
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  try:
    spec.loader.exec_module(module)
  except (Exception, SystemExit) as e:
    del sys.modules[name]
    refusal = _refusal(e, file)
    if refusal is None:
      raise
    raise refusal from e
  return module


def build(module: ModuleType, assignments: Sequence[str]) -> Any:
  """The experiment of a file, its settings and values set from `NAME=VALUE`.

  Raises:
    ExperimentError: the file is not as an experiment file is, or its config
      fails; it names the line.
    OverrideError: a value cannot be set.
  """
  from rlhf_jax.experiment import overrides

  settings(module)
  if not callable(getattr(module, 'config', None)):
    raise _error(f'{errors.shown(module.__file__)} has no config; {AS}')
  for assignment in assignments:
    if assignment.partition('=')[0].strip() == '':
      raise _error(f'--set takes NAME=VALUE, and {assignment!r} has no NAME')
  checked = SimpleNamespace(**vars(module))
  checked.config = lambda settings: _experiment(module, settings)
  try:
    return overrides.build(checked, assignments)
  except (Exception, SystemExit) as e:
    refusal = _refusal(e, module.__file__)
    if refusal is None:
      raise
    raise refusal from e


def settings(module: ModuleType) -> type:
  """The `Settings` of a file.

  Raises:
    ExperimentError: it has none, or no dataclass whose every field has a
      default.
  """
  found = getattr(module, 'Settings', None)
  file = errors.shown(module.__file__)
  if found is None:
    raise _error(f'{file} has no Settings; {AS}')
  if not (inspect.isclass(found) and dataclasses.is_dataclass(found)):
    raise _error(f'the Settings of {file} are no dataclass; {AS}')
  missing = dataclasses.MISSING
  bare = [
    field.name
    for field in dataclasses.fields(found)
    if field.init and field.default is field.default_factory is missing
  ]
  if bare:
    raise _error(f'the Settings of {file} need a default for {", ".join(bare)}')
  return found


def _experiment(module, settings):
  """What the file's config makes of settings."""
  from rlhf_jax.experiment import Experiment

  file = errors.shown(module.__file__)
  try:
    inspect.signature(module.config).bind(settings)
  except TypeError as e:
    raise _error(f'{file}: config(settings) cannot be called: {e}') from e
  found = module.config(settings)
  if not isinstance(found, Experiment):
    kind = type(found).__name__
    raise _error(f'{file}: config returns {kind}, no Experiment')
  return found


def _check_file(file: pathlib.Path):
  if not file.exists():
    raise _error(_missing(file))
  if file.is_dir():
    raise _error(f'{file}: it is a folder; name a Python file in it')
  if file.suffix == '.ipynb':
    raise _error(
      f'{file}: it is a notebook; write it as a Python file, as '
      f'`jupyter nbconvert --to script {file}` does'
    )
  if file.suffix != '.py':
    raise _error(f'{file}: it is no Python file, which would end in .py')
  if b'\0' in file.read_bytes():
    raise _error(f'{file}: it is no Python file: it holds bytes of zero')


def _missing(file: pathlib.Path) -> str:
  """What is nearest to a file that is not there, and what else there is."""
  folder = pathlib.Path('experiments')
  there = sorted(
    str(path)
    for path in folder.rglob('*.py')
    if re.search(r'^def config\(', path.read_text(), re.MULTILINE)
  )
  said = f'there is no experiment {file}{names.nearest(str(file), there)}'
  if not there:
    return f'{said} {folder.absolute()} has none'
  short = [str(pathlib.Path(path).relative_to(folder)) for path in there]
  return f'{said} In {folder}/ there are {", ".join(short)}'


def _refusal(error: BaseException, file: str | pathlib.Path):
  """The sentence about an error of a file; None if it is not the file's.

  What names the setting that is wrong is not: its user did not write the file.
  """
  from rlhf_jax.experiment import overrides

  if isinstance(error, overrides.OverrideError):
    return None
  if isinstance(error, SyntaxError) and error.lineno:  # It came through none.
    place = f'{errors.shown(error.filename)}:{error.lineno}'
    text = f', in `{error.text.strip()}`' if error.text else ''
    return _error(f'{place}: {error.msg}{text}')
  theirs = [
    (errors.shown(frame.f_code.co_filename), line)
    for frame, line in errors.places(error)
    if not errors.ours(frame, LIBRARY)
  ]
  own = [line for path, line in theirs if path == errors.shown(file)]
  if not own:
    return None
  innermost, _ = errors.places(error)[-1]
  if errors.ours(innermost, LIBRARY) and not errors.refused(error):
    return None
  words = ' '.join(str(error).split())
  if not (isinstance(error, ValueError) and errors.raised(error)):
    words = f'{type(error).__name__}: {words}'
  path, line = theirs[-1]
  if path != errors.shown(file):
    words += f', called from {errors.shown(file)}:{own[-1]}'
  return _error(f'{path}:{line}: {words}')


def _error(words: str):
  from rlhf_jax.experiment import ExperimentError

  return ExperimentError(words)
