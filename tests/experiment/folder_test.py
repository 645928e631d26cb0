"""A stage's folder: what stays of a stage that is done, and what is mended."""

import json
import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.experiment import sample_log, store
from rlhf_jax.storage import files, seals
from rlhf_jax.storage.seals import DamagedError

LOOKS = '--- step 1\nhi\n  → a\n--- step 2\nhi\n  → b\n'


class FolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = store.Folder(pathlib.Path(folder.name, 'sft-1'))
    self.path = self.folder.path
    (self.path / 'params').mkdir(parents=True)
    self.logs = {'metrics.jsonl': '{"step": 1}\n', 'samples.txt': LOOKS}
    for name, text in self.logs.items():
      (self.path / name).write_text(text)
      (self.path / 'params' / name).write_text(text)
    seals.seal(self.path / 'params')
    (self.path / 'checkpoints' / '1').mkdir(parents=True)
    (self.path / 'config.json').write_text('{}')
    self.folder.finish({'seconds': 1.5})

  def tidy(self, keep_checkpoint=False):
    self.folder.tidy(config={'a': 1}, keep_checkpoint=keep_checkpoint)

  def test_the_parameters_alone_stay_unless_asked(self):
    self.tidy(keep_checkpoint=True)
    self.assertTrue((self.path / 'checkpoints' / '1').exists())
    self.tidy()
    names = {path.name for path in self.path.iterdir()}
    self.assertEqual(names, {'params', 'done.json', 'config.json', *self.logs})

  def test_a_kill_while_checkpoints_go_leaves_none(self):
    with (
      mock.patch.object(shutil, 'rmtree', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      self.tidy()
    self.assertFalse((self.path / 'checkpoints').exists())
    self.tidy()
    self.assertEqual(list(self.path.glob('*.partial')), [])

  @parameterized.product(
    name=['metrics.jsonl', 'samples.txt'],
    damage=[b'', b'{"step": 1}\n{"st', b'\x00\xff\n', b'null\n', None],
  )
  def test_logs_are_mended_from_their_copies(self, name, damage):
    (self.path / name).unlink()
    if damage is not None:
      (self.path / name).write_bytes(damage)
    self.tidy()
    self.assertEqual((self.path / name).read_text(), self.logs[name])

  @parameterized.parameters(b'a\r\nb\rc\n', b'\xff\xfe\x00', b'\xe2\x80\xa8\n')
  def test_logs_are_mended_to_the_bytes_that_were_sealed(self, sealed):
    for name in self.logs:
      (self.path / 'params' / name).write_bytes(sealed)
    seals.seal(self.path / 'params')
    self.tidy()
    for name in self.logs:
      self.assertEqual((self.path / name).read_bytes(), sealed)

  @parameterized.parameters(b'', b'\x00\xff', b'null')
  def test_a_damaged_config_is_written_anew(self, damage):
    self.tidy()
    self.assertEqual((self.path / 'config.json').read_text(), '{}')
    (self.path / 'config.json').write_bytes(damage)
    self.tidy()
    self.assertEqual(
      json.loads((self.path / 'config.json').read_text()), {'a': 1}
    )

  @parameterized.parameters(b'', b'{"st', b'\x00\xff', b'null', b'{}')
  def test_a_damaged_done_json_is_told_with_what_to_delete(self, damage):
    self.assertEqual(self.folder.seconds(), 1.5)
    (self.path / 'done.json').write_bytes(damage)
    with self.assertRaisesRegex(
      DamagedError, f'{self.path}/done.json is damaged.*; delete {self.path},'
    ):
      self.folder.seconds()

  def test_records_are_what_was_written(self):
    path = self.path / 'records.jsonl'
    with self.assertRaisesRegex(DamagedError, 'records.jsonl is not there'):
      self.folder.records()
    files.write_lines(path, [{'a': 1}, {'a': 2}])
    self.folder.finish({'checksum': seals.checksum(path)})
    self.assertEqual(self.folder.records(), path)
    path.write_text('{"a": 1}\n')  # Every line is whole; one is lost.
    with self.assertRaisesRegex(
      DamagedError, f'{path} is damaged.*; delete {self.path},'
    ):
      self.folder.records()

  def test_no_prompt_is_the_head_of_a_look(self):
    path = self.path / 'said.txt'
    said = [('--- step 9\nwhat ?', '--- step 8\n--- step 7')]
    sample_log.SampleLog(path, start=0).write(1, said)
    sample_log.SampleLog(path, start=1).write(2, said)
    whole = path.read_text()
    sample_log.SampleLog(path, start=1)
    self.assertEqual(path.read_text(), whole[: len(whole) // 2])

  @parameterized.parameters((0, ''), (1, LOOKS[:20]), (2, LOOKS), (9, LOOKS))
  def test_looks_after_the_step_resumed_from_are_cut_off(self, start, expected):
    path = self.path / 'samples.txt'
    looks = sample_log.SampleLog(path, start=start)
    self.assertEqual(path.read_text(), expected)
    looks.write(start + 1, [('hi', 'c')])
    added = f'--- step {start + 1}\nhi\n  → c\n'
    self.assertEqual(path.read_text(), expected + added)

  def test_what_is_said_is_no_head_of_a_look(self):
    path = self.path / 'samples.txt'
    said = [('a\n--- step 9', 'b\n--- step 9\u2028--- step 9\nc')]
    sample_log.SampleLog(path, start=0).write(1, said)
    whole = path.read_text()
    sample_log.SampleLog(path, start=1)
    self.assertEqual(path.read_text(), whole)


if __name__ == '__main__':
  absltest.main()
