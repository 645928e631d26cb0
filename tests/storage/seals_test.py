"""A seal tells every damage, and where it is."""

import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.storage import files, seals
from rlhf_jax.storage.seals import DamagedError


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


DAMAGES = {
  'a bit flipped': flip,
  'the second half lost': lambda p: p.write_bytes(
    p.read_bytes()[: p.stat().st_size // 2]
  ),
  'emptied': lambda p: p.write_bytes(b''),
  'rubbish': lambda p: p.write_bytes(b'\x00\xff\xfe rubbish'),
}


class SealsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name, 'stage', 'params')
    (self.folder / 'd').mkdir(parents=True)
    (self.folder / 'a').write_bytes(b'123456789')
    (self.folder / 'd' / 'b').write_bytes(bytes(range(256)) * 100)

  def test_the_checksum_is_the_standard_one(self):
    # The check value of CRC-32 in every catalogue of them.
    self.assertEqual(seals.checksum(self.folder / 'a'), 'cbf43926')

  def test_what_is_whole_passes(self):
    self.assertFalse(seals.sealed(self.folder))
    seals.seal(self.folder)
    seals.verify(self.folder, delete=self.folder.parent)

  def test_a_new_folder_is_there_whole_or_not_at_all(self):
    folder = self.folder.parent / 'made' / 'here'
    for fault in (OSError(28, ''), KeyboardInterrupt()):
      kind = files.StorageError if isinstance(fault, OSError) else type(fault)
      with self.assertRaises(kind), seals.new_folder(folder) as unfinished:
        (unfinished / 'a').write_text('some')
        raise fault
      self.assertEmpty(list(folder.parent.iterdir()))
    with seals.new_folder(folder) as unfinished:
      (unfinished / 'a').write_text('some')
    seals.verify(folder, delete=folder)
    self.assertEqual(list(folder.parent.iterdir()), [folder])
    with seals.new_folder(folder) as unfinished:
      (unfinished / 'a').write_text('others')
    self.assertEqual((folder / 'a').read_text(), 'some')

  @parameterized.product(name=('a', 'd/b', seals.SEAL), how=list(DAMAGES))
  def test_every_damage_is_told_with_the_file_and_what_to_do(self, name, how):
    seals.seal(self.folder)
    DAMAGES[how](self.folder / name)
    # A seal that is damaged says so itself, or accuses what it covers.
    named = self.folder if name == seals.SEAL else self.folder / name
    with self.assertRaises(DamagedError) as raised:
      seals.verify(self.folder, delete=self.folder.parent)
    said = str(raised.exception)
    self.assertStartsWith(said, str(named))
    self.assertEndsWith(
      said,
      f'; delete {self.folder.parent}, and the same command makes it again',
    )

  @parameterized.parameters('a', 'd/b', seals.SEAL)
  def test_what_is_lost_is_told(self, name):
    seals.seal(self.folder)
    (self.folder / name).unlink()
    with self.assertRaisesRegex(DamagedError, f'{name} is not there; delete'):
      seals.verify(self.folder, delete=self.folder)

  def test_all_is_on_the_disk_before_the_seal_is(self):
    names = []

    def fsync(descriptor, real=os.fsync):
      path = pathlib.Path(os.readlink(f'/proc/self/fd/{descriptor}'))
      names.append(path.name)
      real(descriptor)

    with mock.patch.object(os, 'fsync', fsync):
      seals.seal(self.folder)
    first, seal = names[:3], names[3:]
    self.assertCountEqual(first, ['a', 'b', 'd'])
    self.assertRegex(seal[0], rf'^\.{seals.SEAL}\..*\.partial$')
    self.assertEqual(seal[1:], ['params'])

  @parameterized.parameters('', 'null', '[1]', '{"a": ', '\xff')
  def test_json_that_is_no_object_is_told(self, text):
    path = self.folder / 'done.json'
    path.write_bytes(text.encode('latin-1'))
    with self.assertRaisesRegex(DamagedError, f'^{path} is damaged.*delete X'):
      seals.read_json(path, delete=pathlib.Path('X'))


class LinesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.path = pathlib.Path(folder.name, 'answers.jsonl')
    self.rows = [{'response': 'é\u2028', 'gold': 0.1}, {'gold': None}]

  def test_rows_come_back(self):
    for rows in (self.rows, []):
      seals.write_lines(self.path, rows)
      self.assertEqual(seals.read_lines(self.path), rows)

  def test_every_flipped_bit_is_told(self):
    seals.write_lines(self.path, self.rows)
    whole = self.path.read_bytes()
    for place in range(len(whole)):
      damaged = bytearray(whole)
      damaged[place] ^= 1
      self.path.write_bytes(damaged)
      with self.assertRaises(DamagedError):
        seals.read_lines(self.path)

  def test_every_lost_end_is_told(self):
    seals.write_lines(self.path, self.rows)
    whole = self.path.read_bytes()
    for length in range(len(whole)):
      self.path.write_bytes(whole[:length])
      with self.assertRaises(DamagedError):
        seals.read_lines(self.path)


if __name__ == '__main__':
  absltest.main()
