"""Processes of a run meet before it starts: who is here, and what they share.

Process 0 waits at the coordinator's port, where jax will wait after it; the
others come there and say who they are. So a host that is missing, a port that a
firewall closes, other code on one host and a folder that is not shared are each
a sentence within a minute, and not a program that hangs.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import socket
import time
import uuid
from typing import Any, NamedTuple

from launch.clusters.environment import LEFT_OVER, Place
from rlhf_jax.storage import files

LOOK_SECONDS = 0.5  # Between two attempts to reach process 0.
ANSWER_SECONDS = 5.0  # To reach it; a closed firewall does not answer at all.
SEEN_SECONDS = 15.0  # In which a file must be seen elsewhere; NFS caches names.
PREFIX = '.meeting-'


class MeetingError(RuntimeError):
  """Processes that cannot run together; the message says why."""


class Guest(NamedTuple):
  """Another process: its number, its machine, its code, and how to reach it."""

  process: int
  host: str
  code: str
  line: Any  # A file of its socket.


def meet(
  place: Place, shared: pathlib.Path, *, code: str, wait: float
) -> list[str]:
  """Waits for all processes of a run, and tries what they share.

  Args:
    place: of this process.
    shared: a folder that all of them must see.
    code: what must be the same on all of them.
    wait: seconds in which all must be here.

  Returns:
    Warnings: what works, but not as on one machine.

  Raises:
    MeetingError: on every process that is here, with the same message.
  """
  check_folder(shared)
  if place.processes == 1:
    return []
  deadline = time.monotonic() + wait
  if place.process == 0:
    return _host(place, shared, code, wait, deadline)
  return _visit(place, shared, code, wait, deadline)


def check_folder(folder: pathlib.Path) -> None:
  """Tries what runs do in the folder of their stages and results.

  Raises:
    MeetingError: it is not there, or one of these fails in it.
  """
  if not folder.is_dir():
    raise MeetingError(
      f'there is no folder {folder} on {socket.gethostname()}; mount what all '
      'hosts share there'
    )
  place = folder / f'{PREFIX}{uuid.uuid4().hex}'
  what = 'a new folder'
  try:
    (place / 'first').mkdir(parents=True)
    what = 'a new file'
    with (place / 'first' / 'file').open('w') as file:
      file.write('here')
      file.flush()
      what = 'fsync of a file'
      os.fsync(file.fileno())
      what = 'a lock (flock)'
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    what = 'a folder that is renamed'
    (place / 'first').rename(place / 'second')
    what = 'fsync of a folder'
    files.fsync_folder(place)
    what = 'a symbolic link'
    (place / 'link').symlink_to('second')
    (place / 'link' / 'file').read_text()
  except OSError as e:
    raise MeetingError(
      f'{folder} cannot hold stages and results: {what} fails there '
      f'({e.strerror}); NFS, Lustre and local disks can, a bucket that is '
      'mounted without a hierarchical namespace cannot'
    ) from e
  finally:
    shutil.rmtree(place, ignore_errors=True)


def _host(place, shared, code, wait, deadline):
  port = int(place.coordinator.rpartition(':')[2])
  try:
    door = socket.create_server(('', port), backlog=place.processes)
  except OSError as e:
    raise MeetingError(
      f'port {port} of process 0 is taken ({e.strerror}): a run is there '
      'already, or the last one has not ended'
    ) from e
  guests = {}
  said, warnings = None, []
  with contextlib.ExitStack() as stack:
    stack.enter_context(door)
    try:
      _gather(door, place, guests, stack, deadline)
      said = _missing(place, guests, wait) or _other_code(guests, code)
      if not said:
        said, warnings = _shared(shared, guests)
    except MeetingError as e:
      said = str(e)
    except (OSError, ValueError) as e:
      said = f'a process went away while all met ({e})'
    for guest in guests.values():
      with contextlib.suppress(OSError):
        _send(guest.line, {'error': said, 'warnings': warnings})
  if said:
    raise MeetingError(said)
  return warnings


def _gather(door, place, guests, stack, deadline):
  while len(guests) < place.processes - 1:
    left = deadline - time.monotonic()
    if left <= 0:
      return
    door.settimeout(min(left, LOOK_SECONDS))
    try:
      connection, _ = door.accept()
    except TimeoutError:
      continue
    stack.enter_context(connection)
    connection.settimeout(ANSWER_SECONDS)
    line = stack.enter_context(connection.makefile('rw'))
    try:
      guest = Guest(**json.loads(line.readline()), line=line)
    except (ValueError, TypeError, OSError):
      continue  # Whoever knocks at open ports.
    connection.settimeout(None)
    before = guests.get(guest.process)
    if before is not None and before.host != guest.host:
      raise MeetingError(
        f'{before.host} and {guest.host} both say that they are process '
        f'{guest.process}: {LEFT_OVER}'
      )
    guests[guest.process] = guest


def _missing(place, guests, wait):
  missing = [n for n in range(1, place.processes) if n not in guests]
  if not missing:
    return None
  return (
    f'{len(guests) + 1} of {place.processes} processes are here after '
    f'{wait:.0f} s; missing: {_listed(missing)}. Start it on every host, and '
    f'let a firewall pass tcp:{place.coordinator.rpartition(":")[2]} between '
    'them'
  )


def _other_code(guests, code):
  others = [guest for guest in guests.values() if guest.code != code]
  if not others:
    return None
  one = others[0]
  return (
    f'process {one.process} on {one.host} has other code or versions than '
    f'process 0 ({one.code} there, {code} here); install the same on every host'
  )


def _shared(shared, guests):
  """What is wrong with the shared folder, and what to be warned of."""
  path = shared / f'{PREFIX}{uuid.uuid4().hex}'
  with path.open('w') as file:
    try:
      file.write('here')
      file.flush()
      os.fsync(file.fileno())
      fcntl.flock(file, fcntl.LOCK_EX)
      for guest in guests.values():
        _send(guest.line, {'look': path.name})
      answers = {n: json.loads(g.line.readline()) for n, g in guests.items()}
    finally:
      path.unlink(missing_ok=True)
  blind = [n for n in sorted(answers) if not answers[n]['seen']]
  if blind:
    first = guests[blind[0]]
    return (
      f'process {_listed(blind)} does not see what process 0 writes to '
      f'{shared} ({first.host} has a folder of that name of its own); mount '
      'the same folder on every host'
    ), []
  here = socket.gethostname()
  loose = [
    n for n in answers if answers[n]['locked'] and guests[n].host != here
  ]
  if not loose:
    return None, []
  return None, [
    f'locks in {shared} do not hold from host to host: start no two runs that '
    'share stages at the same time'
  ]


def _visit(place, shared, code, wait, deadline):
  host, _, port = place.coordinator.rpartition(':')
  me = {'process': place.process, 'host': socket.gethostname(), 'code': code}
  with _reached(host.strip('[]'), int(port), wait, deadline) as connection:
    connection.settimeout(wait + 2 * SEEN_SECONDS)
    line = connection.makefile('rw')
    try:
      _send(line, me)
      said = json.loads(line.readline())
      if 'look' in said:
        _send(line, _looked(shared / said['look']))
        said = json.loads(line.readline())
    except (OSError, ValueError) as e:
      raise MeetingError(
        f'process 0 at {place.coordinator} went away while all met; what it '
        'said is in its log'
      ) from e
  if said['error']:
    raise MeetingError(said['error'])
  return said['warnings']


def _reached(host, port, wait, deadline):
  """A connection to process 0."""
  why = 'it did not answer'
  while time.monotonic() < deadline:
    try:
      return socket.create_connection((host, port), timeout=ANSWER_SECONDS)
    except socket.gaierror:
      why = f'no machine has that name: {LEFT_OVER}'
    except ConnectionRefusedError:
      why = 'nobody listens there: process 0 is not started on that host'
    except OSError:
      why = (
        f'it does not answer: let a firewall pass tcp:{port} between the '
        f'hosts; or that machine is gone ({LEFT_OVER})'
      )
    time.sleep(LOOK_SECONDS)
  raise MeetingError(
    f'process 0 was not reached at {host}:{port} in {wait:.0f} s; {why}'
  )


def _looked(path):
  """Whether another host's file is seen here, and its lock could be taken."""
  until = time.monotonic() + SEEN_SECONDS
  while time.monotonic() < until:
    with contextlib.suppress(OSError), path.open('r+') as file:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except OSError:
        return {'seen': True, 'locked': False}
      return {'seen': True, 'locked': True}
    time.sleep(LOOK_SECONDS)
  return {'seen': False, 'locked': False}


def _send(line, content):
  line.write(json.dumps(content) + '\n')
  line.flush()


def _listed(numbers):
  shown = ', '.join(map(str, numbers[:8]))
  return shown + (f' and {len(numbers) - 8} more' if len(numbers) > 8 else '')
