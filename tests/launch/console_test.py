"""Consoles that cannot show all, and readers that go away: as real programs."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from launch import console

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys
from launch import console

def main():
  {body}
  return 0

sys.exit(console.run(main))
"""


def start(body, **options):
  pipe = subprocess.PIPE
  environment = {k: v for k, v in os.environ.items() if k[:6] != 'PYTHON'}
  options = {'stdout': pipe, 'stderr': pipe, 'env': environment} | options
  program = PROGRAM.format(body=body)
  return subprocess.Popen([sys.executable, '-c', program], cwd=ROOT, **options)


def test_what_cannot_be_shown_is_replaced():
  environment = {'PYTHONIOENCODING': 'ascii', 'PYTHONPATH': str(ROOT)}
  body = "print('\\u2192 \\u03b2'); print('\\u2192', file=sys.stderr)"
  process = start(body, env=environment)
  out, err = process.communicate(timeout=60)
  assert (process.returncode, out, err) == (0, b'? ?\n', b'?\n')


@pytest.mark.parametrize(
  'body',
  [
    "print('x')",  # Which is written only when the program ends.
    "print('x' * 1_000_000)",
    "import argparse; argparse.ArgumentParser().parse_args(['--help'])",
  ],
)
def test_a_reader_that_goes_away_ends_it_quietly(body):
  # The reader is gone before the program prints.
  process = start(f'sys.stdin.read(); {body}', stdin=subprocess.PIPE)
  process.stdout.close()
  process.stdin.close()
  err = process.stderr.read()
  process.stderr.close()
  assert process.wait(timeout=60) == 128 + signal.SIGPIPE
  assert err == b''


def test_a_full_disk_is_a_sentence():
  with open('/dev/full', 'wb') as full:
    process = start("print('x')", stdout=full)
    _, err = process.communicate(timeout=60)
  assert process.returncode == 1
  assert err == b'error: the output: No space left on device\n'


def test_no_output_at_all():
  process = start("sys.stdout = None; print('x')")
  out, err = process.communicate(timeout=60)
  assert (process.returncode, out, err) == (0, b'', b'')


def test_a_reader_that_is_there_is_not_gone():
  assert not console.reader_is_gone()
