"""Processes that meet over real sockets, as threads of this machine."""

import concurrent.futures
import contextlib
import os
import socket

import pytest

from launch.clusters import environment, meeting


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(meeting, 'LOOK_SECONDS', 0.02)
  monkeypatch.setattr(meeting, 'SEEN_SECONDS', 0.2)


@pytest.fixture
def address():
  with socket.create_server(('localhost', 0)) as free:
    return f'localhost:{free.getsockname()[1]}'


def met(address, count, folders, codes, *, wait=5.0, here=None):
  """What each process that is here returns or raises."""

  def one(number):
    place = environment.Place(number, count, address)
    try:
      return meeting.meet(place, folders[number], code=codes[number], wait=wait)
    except meeting.MeetingError as e:
      return str(e)

  here = range(count) if here is None else here
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(one, here))


def test_all_are_here(address, tmp_path):
  assert met(address, 3, [tmp_path] * 3, ['a'] * 3) == [[], [], []]
  assert list(tmp_path.iterdir()) == []  # Nothing is left behind.
  # And once more on the same port, as after a restart.
  assert met(address, 3, [tmp_path] * 3, ['a'] * 3) == [[], [], []]


def test_one_process_needs_nobody(tmp_path):
  place = environment.Place(0, 1, 'localhost:1')
  assert meeting.meet(place, tmp_path, code='a', wait=0.1) == []


def test_who_is_missing_is_said_by_all(address, tmp_path):
  here = [0, 2]
  said = met(address, 4, [tmp_path] * 4, ['a'] * 4, wait=0.5, here=here)
  port = address.rpartition(':')[2]
  assert (
    said
    == [
      '2 of 4 processes are here after 0 s; missing: 1, 3. Start it on every '
      f'host, and let a firewall pass tcp:{port} between them'
    ]
    * 2
  )


def test_process_0_that_was_not_started_is_said(address, tmp_path):
  (said,) = met(address, 2, [tmp_path] * 2, ['a'] * 2, wait=0.2, here=[1])
  assert 'nobody listens there: process 0 is not started' in said


def test_a_coordinator_that_is_gone_is_said(tmp_path):
  place = environment.Place(1, 2, 'no-such-host.invalid:8476')
  with pytest.raises(meeting.MeetingError, match='may be gone after a preempt'):
    meeting.meet(place, tmp_path, code='a', wait=0.2)


def test_a_closed_firewall_is_said(tmp_path, monkeypatch):
  def dropped(*_, **__):
    raise TimeoutError('timed out')

  monkeypatch.setattr(socket, 'create_connection', dropped)
  place = environment.Place(1, 2, 'host-0:8476')
  said = 'let a firewall pass tcp:8476 between the hosts'
  with pytest.raises(meeting.MeetingError, match=said):
    meeting.meet(place, tmp_path, code='a', wait=0.2)


def test_a_port_that_is_taken_is_said(tmp_path):
  with socket.create_server(('', 0)) as taken:
    port = taken.getsockname()[1]
    place = environment.Place(0, 2, f'localhost:{port}')
    with pytest.raises(meeting.MeetingError, match=f'port {port} of process 0'):
      meeting.meet(place, tmp_path, code='a', wait=0.2)


def test_other_code_is_said(address, tmp_path):
  for said in met(address, 3, [tmp_path] * 3, ['a', 'a', 'b']):
    assert said.startswith('process 2 on')
    assert '(b there, a here); install the same on every host' in said


def test_a_folder_that_is_not_shared_is_said(address, tmp_path):
  folders = [tmp_path / 'first', tmp_path / 'first', tmp_path / 'second']
  for folder in folders[1:]:
    folder.mkdir()
  for said in met(address, 3, folders, ['a'] * 3):
    assert said.startswith('process 2 does not see what process 0 writes to')


def test_two_that_say_they_are_the_same_are_refused(
  address, tmp_path, monkeypatch
):
  names = iter(['host-a', 'host-b'])
  monkeypatch.setattr(socket, 'gethostname', lambda: next(names))
  place = environment.Place(1, 3, address)

  def visit(_):
    with contextlib.suppress(meeting.MeetingError):
      meeting._visit(place, tmp_path, 'a', 5.0, meeting.time.monotonic() + 5)

  with concurrent.futures.ThreadPoolExecutor() as pool:
    pool.map(visit, range(2))
    host = environment.Place(0, 3, address)
    with pytest.raises(meeting.MeetingError, match='both say .* process 1'):
      meeting.meet(host, tmp_path, code='a', wait=5.0)


@pytest.mark.parametrize(
  ('name', 'what'),
  [
    ('fsync', 'fsync of a file'),
    ('rename', 'a folder that is renamed'),
    ('symlink', 'a symbolic link'),
  ],
)
def test_a_folder_that_lacks_something_is_said(
  tmp_path, monkeypatch, name, what
):
  def refused(*_, **__):
    raise OSError(95, 'Operation not supported')

  monkeypatch.setattr(os, name, refused)
  with pytest.raises(meeting.MeetingError, match=f'{what} fails there'):
    meeting.check_folder(tmp_path)


def test_a_folder_that_is_not_there_is_said(tmp_path):
  with pytest.raises(meeting.MeetingError, match='there is no folder'):
    meeting.check_folder(tmp_path / 'not')
