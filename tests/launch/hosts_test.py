"""A host that checks and then becomes the run, as processes."""

import os
import pathlib
import socket
import subprocess
import sys

from launch import hosts
from launch.clusters import commands


def started(shared, number, count, port, *run):
  environ = {
    **os.environ,
    'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
    'JAX_NUM_PROCESSES': str(count),
    'JAX_PROCESS_ID': str(number),
  }
  return subprocess.Popen(
    [sys.executable, '-m', 'launch.hosts', str(shared), '--wait', '20', *run],
    cwd=commands.ROOT,
    env=environ,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


def test_two_processes_meet_and_become_the_run(tmp_path):
  with socket.create_server(('localhost', 0)) as free:
    port = free.getsockname()[1]
  run = ['--', 'calendar', '2026', '11']
  both = [started(tmp_path, i, 2, port, *run) for i in (0, 1)]
  outs = [process.communicate(timeout=60) for process in both]
  assert [process.returncode for process in both] == [0, 0]
  assert 'all 2 processes are here' in outs[0][0]
  assert all('November 2026' in out for out, _ in outs)


def test_what_is_wrong_ends_it_before_the_run(tmp_path):
  process = started(tmp_path / 'not', 0, 1, 1, '--', 'calendar')
  out, err = process.communicate(timeout=60)
  assert process.returncode == 1
  assert out == '' and 'there is no folder' in err
  assert len(err.splitlines()) == 1


def test_code_is_told_apart_by_its_source(tmp_path):
  root = pathlib.Path(tmp_path)
  (root / 'launch').mkdir()
  (root / 'launch' / 'a.py').write_text('x = 1\n')
  first = hosts.code_of(root)
  assert hosts.code_of(root) == first
  (root / 'launch' / 'a.py').write_text('x = 2\n')
  assert hosts.code_of(root) != first
