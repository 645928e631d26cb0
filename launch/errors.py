"""Which errors their user can mend: each of these is one sentence.

What the system refuses, memory that does not suffice, a package that is
missing, and every refusal of ours, of options of the command line first.
Anything else is a bug, of ours or of what was plugged in.
"""

import contextlib
import dis
import pathlib
import re
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from rlhf_jax.storage import files

# The kinds of errors that become a sentence; of a ValueError it depends on who
# raised it, see `refused`.
MENDABLE = (ValueError, OSError, FloatingPointError, MemoryError)
OURS = ('rlhf_jax', 'launch', 'experiments')
NO_MEMORY = ('RESOURCE_EXHAUSTED', 'Out of memory')  # As XLA says it.
OUT_OF_MEMORY = (
  'raise micro_batches of the stage or lower its batch_size, lower max_rows '
  'where it samples or measures, lower the limits of tokens or the sizes of '
  'the model, or share them among more devices (mesh)'
)
# What JAX's runtime says where another process cannot be reached.
GONE = ('Gloo', 'Connection reset by peer', 'Connection closed', 'heartbeat')
LOST = (
  'another process of this run is gone; see what it said. The same command '
  'goes on from the last checkpoint, once all are started again'
)
_LIBRARIES = tuple(
  sysconfig.get_path(name) for name in ('stdlib', 'purelib', 'platlib')
)

LARGEST_SEED = 2**32 - 1  # Of a key of jax, which takes the bits below.


class OptionError(ValueError):
  """An option of the command line that cannot be."""


@contextlib.contextmanager
def naming(options: Mapping[str, str]) -> Iterator[None]:
  """Errors of the block name options where they named settings.

  Args:
    options: {a setting, as the library's sentences have it: the option}. One
      that is a word like others is given with words around it, as 'timeout
      must'.
  """
  words = '|'.join(map(re.escape, options))
  found = re.compile(rf'(?<![-\w])(?:{words})(?!\w)')
  try:
    yield
  except (ValueError, ConnectionError) as error:
    error.args = tuple(
      found.sub(lambda match: options[match[0]], x) if isinstance(x, str) else x
      for x in error.args
    )
    raise


def check_whole(
  name: str, value: int, least: int, most: int | None = None
) -> None:
  """Refuses a whole number that is out of range."""
  if value < least or (most is not None and value > most):
    range_ = f'{least} or more' if most is None else f'from {least} to {most}'
    raise OptionError(f'{name} must be {range_}, got {value}')


def check_unread(
  given: Sequence[str], unread: Sequence[str], owner: str, reader: str
) -> None:
  """Refuses options that the chosen judge or mode would ignore.

  Args:
    given: options of the command line, as Python has their names.
    unread: options that would be ignored.
    owner: what these belong to.
    reader: what would ignore them.
  """
  for name in unread:
    if name in given:
      raise OptionError(
        f'--{name.replace("_", "-")} is of {owner}, and {reader} does not read '
        'it; leave it out'
      )


def check_there(name: str, path: str | pathlib.Path) -> None:
  """Refuses a path at which there is nothing."""
  path = pathlib.Path(path)
  if path.exists():
    return
  if path.parent.is_dir():
    raise OptionError(
      f'{name}: there is no file {path.name} in {path.parent}{nearest(path)}'
    )
  raise OptionError(f'{name}: there is no folder {path.parent} of {path}')


def nearest(path: pathlib.Path) -> str:
  """What beside a path is called almost so; '' where nothing is."""
  from rlhf_jax.data import names  # Brings JAX, which few mistakes need.

  if path.exists() or not path.parent.is_dir():
    return ''
  there = [one.name for one in path.parent.iterdir()]
  return names.nearest(path.name, there).removesuffix('.')


def check_folder(name: str, path: pathlib.Path | None) -> None:
  """Refuses a path where no folder can be made, for a file lies there."""
  if path is None:
    return
  try:
    files.check_local(path)
  except files.StorageError as e:
    raise OptionError(f'{name}: {e}') from e
  there = next((p for p in (path, *path.parents) if p.exists()), None)
  if there is not None and not there.is_dir():
    raise OptionError(
      f'{name} must be a folder, and {there} is a file; name another'
    )


def sentence(error: BaseException) -> str | None:
  """What an error says to its user; None if it is not the user's to mend."""
  words = ' '.join(str(error).split())
  if isinstance(error, MemoryError) or any(x in words for x in NO_MEMORY):
    return f'out of memory{f" ({words[:200]})" if words else ""}; ' + (
      OUT_OF_MEMORY
    )
  if isinstance(error, OSError) and error.errno is not None:
    given = (error.filename, error.filename2)
    paths = ' and '.join(str(name) for name in given if name is not None)
    return f'{paths}: {error.strerror}' if paths else str(error.strerror)
  if isinstance(error, ModuleNotFoundError) and _foreign(error.name):
    return (
      f'the package {error.name} is not installed, and {place(error)} needs it'
    )
  return str(error) if refused(error) else None


def is_lost(error: BaseException) -> bool:
  """Whether an error is that another process of the run is gone."""
  return any(word in str(error) for word in GONE)


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
  return named(*found[-1]) if found else 'something'


def shown(path: str | pathlib.Path) -> str:
  """A path, from the working folder where it lies below."""
  path = pathlib.Path(path)
  with contextlib.suppress(ValueError, OSError):
    return str(path.absolute().relative_to(pathlib.Path.cwd()))
  return str(path)


def named(frame, line):
  return f'{frame.f_code.co_name} ({shown(frame.f_code.co_filename)}:{line})'


def _foreign(module):
  return module is not None and module.split('.')[0] not in OURS
