"""A journal keeps what it said it keeps, however its writer ends."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.storage import files, journal

# Appends lines for ever, and says each that is kept.
WRITER = """
import sys
from rlhf_jax.storage import journal
kept = journal.Journal(sys.argv[1])
for i in range(10**9):
  kept.append({'i': i, 'text': 'x' * 3000})
  print(i, flush=True)
"""


def full(partly=0):
  """os.write of a full disk, which takes some bytes before it is full."""
  write = os.write

  def fail(number, content):
    if partly:
      write(number, content[:partly])
    raise OSError(errno.ENOSPC, 'No space left on device')

  return mock.patch.object(journal.os, 'write', fail)


class JournalTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder) / 'deep' / 'kept.jsonl'

  def lines(self):
    return [json.loads(line) for line in self.path.read_text().splitlines()]

  def test_lines_are_kept_and_come_back(self):
    with journal.Journal(self.path) as kept:
      kept.append({'a': 1})
      kept.append({'a': 'é\n'})
      self.assertEqual(self.lines(), [{'a': 1}, {'a': 'é\n'}])
    with journal.Journal(self.path) as kept:
      self.assertEqual(kept.rows, [{'a': 1}, {'a': 'é\n'}])
      kept.replace(0, {'a': 2})
      kept.append({'a': 3})
      self.assertEqual(kept.rows, [{'a': 2}, {'a': 'é\n'}, {'a': 3}])
      self.assertEqual(self.lines(), kept.rows)
    self.assertLen(list(self.path.parent.iterdir()), 1)

  def test_a_second_writer_is_refused(self):
    with journal.Journal(self.path) as kept:
      with self.assertRaisesRegex(files.StorageError, 'by another process'):
        journal.Journal(self.path)
      kept.append({'a': 1})
      kept.replace(0, {'a': 2})  # Another file, locked as well.
      with self.assertRaisesRegex(files.StorageError, 'by another process'):
        journal.Journal(self.path)
    journal.Journal(self.path).close()

  @parameterized.parameters(b'{"a": 1', b'{"a', b'\xff\xfe', b'[1]', b'{}{')
  def test_half_a_line_at_the_end_is_cut_off(self, torn):
    self.path.parent.mkdir()
    self.path.write_bytes(b'{"a": 0}\n' + torn)
    with journal.Journal(self.path) as kept:
      self.assertEqual(kept.torn, torn)
      kept.append({'a': 2})
    self.assertEqual(self.lines(), [{'a': 0}, {'a': 2}])

  @parameterized.parameters(b'[{"a": 0}]', b'\x89PNG\x00', b'words')
  def test_a_file_of_something_else_is_left_alone(self, text):
    self.path.parent.mkdir()
    self.path.write_bytes(text)
    with self.assertRaisesRegex(files.StorageError, 'something else than'):
      journal.Journal(self.path)
    self.assertEqual(self.path.read_bytes(), text)

  def test_a_line_that_lacks_its_end_alone_is_whole(self):
    self.path.parent.mkdir()
    self.path.write_bytes(b'{"a": 0}\n{"a": 1}')
    with journal.Journal(self.path) as kept:
      self.assertEqual(kept.torn, b'')
      kept.append({'a': 2})
    self.assertEqual(self.lines(), [{'a': 0}, {'a': 1}, {'a': 2}])

  def test_a_damaged_line_is_told_and_nothing_is_changed(self):
    self.path.parent.mkdir()
    text = b'{"a": 0}\n{"a\n{"a": 2}\n{"a'
    self.path.write_bytes(text)
    with self.assertRaisesRegex(files.StorageError, r'kept.jsonl:2: is no'):
      journal.Journal(self.path)
    self.assertEqual(self.path.read_bytes(), text)

  @parameterized.parameters(0, 5)
  def test_a_full_disk_leaves_it_as_it_was(self, partly):
    with journal.Journal(self.path) as kept:
      kept.append({'a': 1})
      with full(partly):
        for write in (lambda: kept.append({'a': 2}), replaced(kept)):
          with self.assertRaisesRegex(files.StorageError, 'disk is full'):
            write()
      self.assertEqual(self.lines(), [{'a': 1}])
      self.assertEqual(kept.rows, [{'a': 1}])
      kept.append({'a': 3})
    self.assertEqual(self.lines(), [{'a': 1}, {'a': 3}])
    self.assertLen(list(self.path.parent.iterdir()), 1)

  def test_a_place_that_is_none_is_told(self):
    self.path.parent.mkdir()
    self.path.mkdir()
    with self.assertRaisesRegex(files.StorageError, 'folder lies where a file'):
      journal.Journal(self.path)

  def test_killed_it_has_every_line_that_was_said_to_be_kept(self):
    writer = subprocess.Popen(
      [sys.executable, '-c', WRITER, str(self.path)], stdout=subprocess.PIPE
    )
    for _ in range(20):
      writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    said = [int(line) for line in writer.stdout]
    writer.wait()
    last = said[-1] if said else 19
    with journal.Journal(self.path) as kept:
      found = [row['i'] for row in kept.rows]
    self.assertEqual(found, list(range(len(found))))
    self.assertGreaterEqual(len(found), last + 1)


def replaced(kept):
  return lambda: kept.replace(0, {'a': 2})


if __name__ == '__main__':
  absltest.main()
