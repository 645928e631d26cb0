"""What is kept on disk: listed with who needs it, removed where nobody does."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import time
from unittest import mock

from absl.testing import absltest

from launch import disk
from rlhf_jax import progress
from rlhf_jax.experiment import encoded_datasets, locks


class DiskTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.runs = pathlib.Path(folder, 'runs')
    self.stages = self.runs / 'stages'
    self.make('sft-aaa', {'config': {'steps': 10}}, 1000)
    self.make('sft-bbb', {'config': {'steps': 20}}, 2_500_000)
    self.make('ppo-ccc', {'config': {'kl_coef': 0.1}}, 10)
    (self.stages / 'ppo-ccc' / 'done.json').unlink()
    self.link('rlhf/sandbox', 'sft', 'sft-aaa')
    self.link('dpo/seed-1', 'sft', 'sft-aaa')

  def make(self, name, config, size):
    folder = self.stages / name
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'done.json').write_text('{}')
    (folder / 'params').write_bytes(b'x' * size)
    hours = 5 if name == 'sft-bbb' else 1
    os.utime(folder, (time.time() - hours * 3600,) * 2)

  def link(self, run, stage, folder):
    path = self.runs / run / 'stages' / stage
    path.parent.mkdir(parents=True)
    path.symlink_to(os.path.relpath(self.stages / folder, path.parent))

  def run_disk(self, *arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      status = disk.main(['--stages', str(self.stages), *arguments])
    self.assertEqual(status, 0)
    return out.getvalue()

  def row(self, text, name):
    (line,) = [x for x in text.splitlines() if x.startswith(name)]
    return line

  def test_lists_who_needs_what_and_what_differs(self):
    text = self.run_disk()
    self.assertIn(' and 1 more', self.row(text, 'sft-aaa'))
    other = self.row(text, 'sft-bbb')
    self.assertIn('config.steps=20 (10)', other)
    self.assertIn('2.5 MB  5 h', other)
    self.assertIn('– (unfinished)', self.row(text, 'ppo-ccc'))
    self.assertIn('in 3 folders', text)
    self.assertIn('--remove', text)
    self.assertLen(list(self.stages.glob('*-*')), 3)

  def test_a_narrow_terminal_has_a_line_a_cell(self):
    with mock.patch.object(progress, 'width', lambda out, most: 40):
      text = self.run_disk()
    listed = text.split('\n\n')[0].splitlines()
    self.assertLessEqual(max(map(len, listed)), 40)
    at = listed.index('sft-bbb')
    self.assertEqual([line.split() for line in listed[at + 1 : at + 4]], [
      ['differs', 'in', 'config.steps=20', '(10)'],
      ['size', '2.5', 'MB'],
      ['age', '5', 'h'],
    ])  # fmt: skip

  def test_what_differs_where_the_config_does_not(self):
    for name, settings in {'rm-a': 'x', 'rm-b': 'x', 'rm-c': 'y'}.items():
      self.make(name, {'config': {'steps': 10}}, 10)
      done = {'settings': settings}
      (self.stages / name / 'done.json').write_text(json.dumps(done))
    self.make('rm-d', {'config': {'steps': 10}}, 10)
    for age, name in enumerate(('rm-a', 'rm-b', 'rm-c', 'rm-d')):
      os.utime(self.stages / name, (time.time() - 60 * age,) * 2)
    text = self.run_disk()
    for name, said in {
      'rm-b': 'code, or files that are read',
      'rm-c': 'seed, model, limits, or an earlier stage',
      'rm-d': 'code, data, or settings that are not kept',
    }.items():
      self.assertIn(said, self.row(text, name))

  def test_removes_what_no_results_need(self):
    text = self.run_disk('--remove')
    self.assertIn('removed 2.5 MB', text)
    # A run that was stopped just now may still go on.
    left = sorted(path.name for path in self.stages.glob('*-*'))
    self.assertEqual(left, ['ppo-ccc', 'sft-aaa'])
    old = time.time() - 2 * disk.DAY
    os.utime(self.stages / 'ppo-ccc', (old, old))
    self.run_disk('--remove')
    self.assertFalse((self.stages / 'ppo-ccc').exists())

  def test_what_a_run_began_at_is_kept(self):
    given = str(self.stages / 'sft-bbb' / 'params')
    config = {'stages': {'ppo': {'start': {'policy': given}}}}
    path = self.runs / 'own' / 'config.json'
    path.parent.mkdir()
    path.write_text(json.dumps(config))
    self.assertIn('own', self.row(self.run_disk('--remove'), 'sft-bbb'))
    self.assertTrue((self.stages / 'sft-bbb').exists())

  def test_what_a_run_works_on_is_kept(self):
    lock = locks.Lock(self.stages, 'sft-bbb', who='sft', console=io.StringIO())
    with lock.share():
      text = self.run_disk('--remove')
    self.assertIn('sft-bbb is kept: a run works on it', text)
    self.assertTrue((self.stages / 'sft-bbb').exists())

  def test_encoded_datasets_go_once_nobody_has_used_them_for_a_day(self):
    for name, hours in (('aaa', 1), ('bbb', 25)):
      folder = self.stages / encoded_datasets.FOLDER / name
      folder.mkdir(parents=True)
      (folder / 'ids').write_bytes(b'x' * 1_000_000)
      os.utime(folder, (time.time() - hours * 3600,) * 2)
    text = self.run_disk()
    self.assertIn('encoded datasets 2.0 MB in 2 folders, 1.0 MB of it in', text)
    self.assertIn('removed 3.5 MB', self.run_disk('--remove'))
    (left,) = folder.parent.iterdir()
    self.assertEqual(left.name, 'aaa')

  def test_a_folder_that_is_not_there_is_one_sentence(self):
    with contextlib.redirect_stderr(io.StringIO()) as err:
      status = disk.main(['--stages', str(self.runs / 'nowhere')])
    self.assertEqual(status, 1)
    self.assertRegex(err.getvalue(), '^error: there is no folder .*nowhere')


if __name__ == '__main__':
  absltest.main()
