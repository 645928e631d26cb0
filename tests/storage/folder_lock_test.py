"""Two writers of a folder."""

import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest

from rlhf_jax.storage import files, folder_lock

TRIES = """
import sys
from rlhf_jax.storage import files, folder_lock
try:
  with folder_lock.alone(sys.argv[1]):
    print('held')
except files.StorageError as error:
  print(error)
"""


class FolderLockTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    root = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(root) / 'out'

  def other(self):
    """What another process is told."""
    return subprocess.run(
      [sys.executable, '-c', TRIES, str(self.folder)],
      capture_output=True,
      text=True,
      check=True,
    ).stdout

  def test_a_second_process_is_refused_until_the_first_is_done(self):
    with folder_lock.alone(self.folder):
      self.assertIn(
        f'{self.folder} is being written by another process; stop that one',
        self.other(),
      )
    self.assertEqual(self.other(), 'held\n')

  def test_what_stayed_empty_is_gone(self):
    with folder_lock.alone(self.folder):
      self.assertTrue(self.folder.is_dir())
    self.assertFalse(self.folder.exists())
    with folder_lock.alone(self.folder):
      (self.folder / 'kept').write_text('')
    self.assertEqual([p.name for p in self.folder.iterdir()], ['kept'])

  def test_a_file_is_no_folder(self):
    self.folder.write_text('')
    with self.assertRaises(files.StorageError), folder_lock.alone(self.folder):
      self.fail('held')


if __name__ == '__main__':
  absltest.main()
