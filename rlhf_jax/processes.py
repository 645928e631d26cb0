"""Several processes of one run: each runs all of it, and the first one writes.

Every process runs the same program on the same values of the host, and arrays
are global: they lie on the devices of all. What differs between hosts are their
disks, and when a signal comes. So whatever a disk or a service says is asked by
the first process and known to all (`by_first`), and nothing of an array is read
that did not come through `on_host`. With one process all of this does nothing.
"""

import contextlib
import hashlib
import os
import pathlib
import pickle
import sys
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

Result = TypeVar('Result')


class ProcessesError(RuntimeError):
  """The processes of a run do not fit together: a sentence."""

  agreed = True


_here = types.SimpleNamespace(
  alone=0,  # How deep in blocks that this process runs without the others.
  checks=0,  # How often it was asked whether to stop.
)


def several() -> bool:
  """Whether there is more than one process, and this block is run by all."""
  return not _here.alone and jax.process_count() > 1


def first() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


def output() -> TextIO:
  """Where this process prints for people: nowhere, but on the first."""
  return sys.stdout if first() else open(os.devnull, 'w')


def devices() -> Sequence[jax.Device]:
  """Those that what this block runs can use: all, or this process's own."""
  return jax.local_devices() if _here.alone else jax.devices()


def by_first(work: Callable[[], Result]) -> Result:
  """What `work` gives on the first process, on all of them; it is pickled.

  It runs there alone: it must use no array of the mesh. What it raises is
  raised on all.
  """
  if not several():
    return work()
  result, error, said = None, None, b''
  if first():
    try:
      with _by_itself():
        result = work()
    except Exception as e:
      e.agreed = True
      error = e
    said = pickle.dumps((result, error and _parts(error)))
  there, parts = pickle.loads(_broadcast(said))
  if parts is not None:
    raise error or _rebuilt(*parts)
  return result if first() else there


def only_first(work: Callable[[], Result]) -> Result | None:
  """What `work` gives on the first process; None on the others.

  As `by_first`, of what cannot or need not be known to all.
  """
  made = []
  by_first(lambda: made.append(work()))
  return made[0] if made else None


def in_turn(work: Callable[[], Result]) -> Result:
  """Runs `work` on the first process, and on the others once it is done there.

  These find on the disk what the first one made. It must use no array of the
  mesh.
  """
  if not several():
    return work()
  made = only_first(work)
  if first():
    return made
  with _by_itself():
    return work()


def wait(purpose: str) -> None:
  """Waits until all processes have come here."""
  if several():
    multihost_utils.sync_global_devices(purpose)


def on_host(tree: Any) -> Any:
  """A pytree of arrays as whole arrays of numpy, on every process."""
  return jax.tree.map(_whole, tree)


def agreed(error: BaseException) -> bool:
  """Whether all processes have this error, so that one of them says it."""
  return jax.process_count() == 1 or getattr(error, 'agreed', False)


def stop_agreed() -> bool:
  """Whether all processes stop here, since one of them was sent SIGTERM.

  Every process asks equally often, and all are told at the same question.
  """
  if not several():
    return False
  _here.checks += 1
  return multihost_utils.reached_preemption_sync_point(_here.checks)


def check_same(what: str, value: Any) -> None:
  """Refuses processes that differ.

  Args:
    what: they differ in, in words.
    value: of this process; anything with a faithful repr.

  Raises:
    ProcessesError: naming the processes that differ from the first.
  """
  if not several():
    return
  digest = hashlib.sha256(repr(value).encode()).digest()[:4]
  found = _gathered(np.frombuffer(digest, np.int32))
  others = np.flatnonzero(found != found[0]).tolist()
  if others:
    raise ProcessesError(
      f'{_named(others)} of {jax.process_count()} processes differ '
      f'from the first in their {what}; start the same command, of the same '
      'code, on the same data everywhere'
    )


def check_shared(folder: pathlib.Path) -> None:
  """Refuses a folder that not all processes see as the first one does.

  Raises:
    ProcessesError: naming those that do not.
  """
  if not several():
    return
  name = by_first(lambda: f'.seen-by-all-{uuid.uuid4().hex[:12]}')
  by_first(lambda: _touch(folder / name))
  found = _gathered(np.asarray((folder / name).exists(), np.int32))
  by_first((folder / name).unlink)
  blind = np.flatnonzero(found == 0).tolist()
  if blind:
    raise ProcessesError(
      f'{folder} must be on a disk that all hosts share, and what the first of '
      f'{jax.process_count()} processes writes there is not seen by '
      f'{_named(blind)}; name another folder'
    )


def _gathered(number: np.ndarray) -> np.ndarray:
  """Each process's number."""
  return np.asarray(multihost_utils.process_allgather(number)).reshape(-1)


@contextlib.contextmanager
def _by_itself() -> Iterator[None]:
  """While the block runs, this process does not ask the others."""
  _here.alone += 1
  try:
    yield
  finally:
    _here.alone -= 1


def _broadcast(said: bytes) -> bytes:
  """The bytes of the first process."""
  size = multihost_utils.broadcast_one_to_all(np.int32(len(said)))
  # From few sizes: each is compiled once.
  padded = np.zeros(1 << max(int(size) - 1, 255).bit_length(), np.uint8)
  padded[: len(said)] = np.frombuffer(said, np.uint8)
  found = multihost_utils.broadcast_one_to_all(padded)
  return np.asarray(found, np.uint8)[: int(size)].tobytes()


def _parts(error: Exception) -> tuple[Any, ...]:
  """What an error is made of, whatever its class asks for."""
  return type(error), error.args, vars(error)


def _rebuilt(kind, args, fields) -> Exception:
  error = kind.__new__(kind, *args)
  error.args = args
  vars(error).update(fields)
  return error


def _whole(x):
  if isinstance(x, jax.Array) and not x.is_fully_addressable:
    x = multihost_utils.process_allgather(x, tiled=True)
  return np.asarray(x)


def _touch(path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.touch()


def _named(numbers: list[int]) -> str:
  return ', '.join(map(str, numbers))
