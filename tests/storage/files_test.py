"""Files are whole or not there, on the disk, and errors are sentences."""

import errno
import json
import os
import pathlib
import resource
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.storage import files
from rlhf_jax.storage.files import StorageError


class FilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)
    self.path = self.folder / 'a.json'

  def names(self):
    return sorted(p.name for p in self.folder.iterdir())

  def test_is_on_the_disk_before_it_replaces_and_its_name_after(self):
    calls = []

    def fsync(descriptor, real=os.fsync):
      path = pathlib.Path(os.readlink(f'/proc/self/fd/{descriptor}'))
      calls.append('folder' if path.is_dir() else 'file')
      real(descriptor)

    def replace(one, other, real=os.replace):
      calls.append('replace')
      real(one, other)

    with (
      mock.patch.object(os, 'fsync', fsync),
      mock.patch.object(os, 'replace', replace),
    ):
      files.write_text(self.path, 'new')
    self.assertEqual(calls, ['file', 'replace', 'folder'])
    self.assertEqual(self.path.read_bytes(), b'new')
    self.assertEqual(self.names(), ['a.json'])

  @parameterized.parameters(errno.ENOSPC, errno.EROFS, errno.EIO)
  def test_what_fails_leaves_the_old_file_alone(self, number):
    files.write_text(self.path, 'old')
    refused = OSError(number, os.strerror(number))
    with (
      mock.patch.object(os, 'fsync', side_effect=refused),
      self.assertRaisesRegex(StorageError, f'^{self.path}: [^\n]+$'),
    ):
      files.write_text(self.path, 'new')
    self.assertEqual(self.path.read_bytes(), b'old')
    self.assertEqual(self.names(), ['a.json'])

  def test_a_limit_of_the_shell_is_told(self):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    with self.assertRaisesRegex(StorageError, 'no file may be so large here'):
      files.write_text(self.path, 'x' * 99)
    self.assertEqual(self.names(), [])

  def test_so_does_what_stops_the_writer(self):
    files.write_text(self.path, 'old')
    with self.assertRaises(KeyboardInterrupt), files.whole(self.path) as file:
      file.write('half')
      raise KeyboardInterrupt
    self.assertEqual(self.path.read_bytes(), b'old')
    self.assertEqual(self.names(), ['a.json'])

  @parameterized.parameters(
    ('folder', 'a folder lies where a file has to be; move it away'),
    ('file/a.json', 'a file lies where a folder has to be; move it away'),
    ('nowhere/a.json', 'No such file or directory'),
  )
  def test_a_place_that_is_none_is_told(self, place, said):
    (self.folder / 'folder').mkdir()
    (self.folder / 'file').write_text('')
    path = self.folder / place
    with self.assertRaises(StorageError) as raised:
      files.write_text(path, 'new')
    self.assertEqual(str(raised.exception), f'{path}: {said}')

  @parameterized.parameters('gs://bucket/runs', 's3://bucket/runs')
  def test_an_address_is_no_folder(self, address):
    with self.assertRaisesRegex(
      StorageError, f'^{address} is no folder of this machine: mount .*gcsfuse'
    ):
      files.make_folder(pathlib.Path(address))
    self.assertFalse(pathlib.Path(address.split('/')[0]).exists())

  def test_a_folder_with_a_colon_is_one(self):
    files.make_folder(self.folder / 'at 10:30' / 'gs:')
    self.assertTrue((self.folder / 'at 10:30' / 'gs:').is_dir())

  def test_a_folder_is_not_made_where_a_file_is(self):
    self.path.write_text('x')
    with self.assertRaisesRegex(StorageError, f'{self.path}.*: a file lies'):
      files.make_folder(self.path)
    with self.assertRaisesRegex(StorageError, f'{self.path}.*: a file lies'):
      files.make_folder(self.path / 'inside')

  def test_a_line_after_half_a_line_is_whole(self):
    self.path.write_text('{"a": 1}\n{"a": ')
    files.append_line(self.path, {'a': 3})
    files.append_line(self.path, {'a': 4})
    whole = self.path.read_text().splitlines()
    self.assertEqual(whole, ['{"a": 1}', '{"a": ', '{"a": 3}', '{"a": 4}'])

  def test_lines_of_json(self):
    files.write_lines(self.path, [{'a': 1}, None])
    text = self.path.read_text()
    self.assertEqual(text, '{"a": 1}\nnull\n')
    files.write_json(self.path, {'a': [1]})
    self.assertEqual(json.loads(self.path.read_text()), {'a': [1]})

  def test_a_kill_while_a_folder_is_deleted_leaves_nothing_of_its_name(self):
    stage = self.folder / 'sft-1'
    stage.mkdir()
    files.write_text(stage / 'done.json', '{}')
    with (
      mock.patch.object(shutil, 'rmtree', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      files.remove(stage)
    self.assertFalse(stage.exists())
    (left,) = self.names()
    self.assertStartsWith(left, '.sft-1.')
    files.sweep(stage)
    self.assertEqual(self.names(), [])

  def test_what_is_not_there_is_removed_already(self):
    files.remove(self.path)
    self.assertEqual(self.names(), [])

  def test_sweeping_leaves_what_is_whole(self):
    self.path.write_text('')
    (self.folder / 'done.json.partial').write_text('{"st')
    files.partial_of(self.path).write_text('{"st')
    files.sweep(self.folder)
    self.assertEqual(self.names(), ['a.json'])


if __name__ == '__main__':
  absltest.main()
