"""Rows of numbers: averaged, written, read back, and shown."""

import json
import math
import pathlib
import sys
import tempfile
from unittest import mock

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.training import metrics
from rlhf_jax.types import Mean


class SummariseTest(absltest.TestCase):
  def test_is_the_mean_over_all_that_was_counted(self):
    rows = [
      {'x': Mean(jnp.float32(6.0), jnp.float32(3.0))},
      {'x': Mean(jnp.float32(10.0), jnp.float32(1.0))},
    ]
    self.assertEqual(metrics.summarise(rows), {'x': 4.0})

  def test_of_nothing_there_is_no_mean(self):
    none = Mean.of(jnp.zeros(3), jnp.zeros(3, bool))
    some = Mean.of(jnp.array([5.0]))
    row = metrics.summarise([{'gold': none, 'loss/policy': none, 'kl': some}])
    self.assertTrue(math.isnan(row.pop('gold')))
    self.assertEqual(row, {'loss/policy': 0.0, 'kl': 5.0})
    self.assertEqual(
      metrics.summarise([{'gold': none}, {'gold': some}]), {'gold': 5.0}
    )


class JsonlTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.path = pathlib.Path(folder.name, 'metrics.jsonl')

  def write(self, steps, start=0):
    writer = metrics.JsonlWriter(self.path, start=start)
    for step in steps:
      writer.write('sft', step, {'loss': step / 2})
    writer.close()

  def test_a_resumed_run_has_each_step_once(self):
    self.write([1, 2, 3, 4])
    self.write([3, 4, 5], start=2)
    rows = metrics.read_jsonl(self.path)
    self.assertEqual([row['step'] for row in rows], [1, 2, 3, 4, 5])

  def test_a_line_cut_off_by_a_kill_is_dropped(self):
    self.write([1, 2])
    with self.path.open('a') as file:
      file.write('{"step": 3, "lo')
    self.assertLen(metrics.read_jsonl(self.path), 2)
    self.write([3], start=2)
    self.assertLen(metrics.read_jsonl(self.path), 3)

  def test_what_is_not_finite_is_null(self):
    writer = metrics.JsonlWriter(self.path)
    writer.write('sft', 1, {'a': float('nan'), 'b': 1.5})
    writer.close()
    self.assertEqual(
      json.loads(self.path.read_text()), {'step': 1, 'a': None, 'b': 1.5}
    )

  def test_a_row_read_back_is_the_one_that_was_written(self):
    live = metrics.plain({'a': math.nan, 'b': math.inf, 'c': -math.inf, 'd': 1})
    writer = metrics.JsonlWriter(self.path)
    writer.write('sft', 1, live)
    writer.close()
    (row,) = metrics.read_jsonl(self.path)
    self.assertEqual(row.pop('step'), 1)
    for found in (live, metrics.plain(row)):
      np.testing.assert_equal(
        found, {'a': math.nan, 'b': math.nan, 'c': math.nan, 'd': 1}
      )


class OtherWritersTest(absltest.TestCase):
  def test_a_missing_package_is_told_with_how_to_get_it(self):
    with mock.patch.dict(sys.modules, tensorboardX=None, wandb=None):
      with self.assertRaisesRegex(ValueError, 'pip install tensorboardX'):
        metrics.TensorBoardWriter(pathlib.Path('nowhere'))
      with self.assertRaisesRegex(ValueError, 'pip install wandb'):
        metrics.WandbWriter('project', {})

  def test_tensorboard_has_a_run_for_each_stage(self):
    package = mock.Mock()
    with mock.patch.dict(sys.modules, tensorboardX=package):
      writer = metrics.TensorBoardWriter(pathlib.Path('folder'))
      writer.write('sft', 3, {'loss': 0.5})
      writer.write('ppo', 1, {'kl': 2.0})
    folders = [call.args[0] for call in package.SummaryWriter.call_args_list]
    self.assertEqual(folders, ['folder/sft', 'folder/ppo'])
    package.SummaryWriter().add_scalar.assert_any_call('loss', 0.5, 3)

  def test_wandb_tells_stages_apart_by_name(self):
    package = mock.Mock()
    with mock.patch.dict(sys.modules, wandb=package):
      writer = metrics.WandbWriter('project', {'seed': 1})
      writer.write('sft', 3, {'loss': 0.5})
    package.init.assert_called_once_with(project='project', config={'seed': 1})
    package.init().log.assert_called_once_with({'sft/loss': 0.5, 'sft/step': 3})


if __name__ == '__main__':
  absltest.main()
