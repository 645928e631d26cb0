"""Checkpoints: sealed, finite, one at a time, and never half of one."""

import pathlib
import shutil
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.experimental import multihost_utils

from rlhf_jax.storage import seals
from rlhf_jax.storage.files import StorageError
from rlhf_jax.storage.seals import DamagedError
from rlhf_jax.training import checkpoints
from rlhf_jax.types import Mean, TrainState

SIZE = 4 * 64 * 1024  # Bytes of the parameters.


def state(step, fill=None, opt_state=()):
  noise = np.random.RandomState(step).randn(64, 1024).astype(np.float32)
  if fill is not None:
    noise[3, 5] = fill
  return TrainState(
    step=jnp.int32(step),
    params={'w': jnp.asarray(noise)},
    opt_state=opt_state,
    extra={},
  )


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


class CheckpointsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name, 'stage', 'checkpoints')

  def saved(self, *states, keep=1, pending=()):
    with checkpoints.Checkpoints(self.folder, meta={}, keep=keep) as saved:
      for each in states:
        saved.save(each, pending)

  def restored(self):
    with checkpoints.Checkpoints(self.folder, meta={}) as saved:
      found = saved.restore(state(0))
    return found, saved.pending

  def test_old_ones_go_when_the_next_is_there(self):
    with checkpoints.Checkpoints(self.folder, meta={}) as saved:
      for step in range(1, 4):
        saved.save(state(step))
        saved.wait()
        found = [p for p in self.folder.rglob('*') if p.is_file()]
        bytes_there = sum(path.stat().st_size for path in found)
        self.assertLess(bytes_there, 1.2 * SIZE)
        self.assertTrue((self.folder / str(step)).is_dir())

  def test_a_save_does_not_use_up_the_question_whether_to_stop(self):
    asked = self.enterContext(
      mock.patch.object(multihost_utils, 'reached_preemption_sync_point')
    )
    asked.return_value = False
    self.saved(state(1), state(2))
    asked.assert_not_called()

  def test_metrics_since_the_last_row_come_back_exactly(self):
    third = Mean(np.float32(1) / np.float32(3), np.float32(7))
    pending = [{'loss/x': third, 'nan': Mean.of(jnp.nan)}]
    self.saved(state(1), pending=pending)
    _, (found,) = self.restored()
    for name in ('total', 'weight'):
      number = getattr(found['loss/x'], name)
      self.assertEqual(number, getattr(third, name))
      self.assertEqual(number.dtype, np.float32)
    self.assertTrue(np.isnan(found['nan'].total))

  def test_a_flipped_bit_in_any_file_is_refused(self):
    self.saved(state(1))
    files = [p for p in (self.folder / '1').rglob('*') if p.is_file()]
    whole = {path: path.read_bytes() for path in files}
    self.assertGreater(len(whole), 5)
    for path, content in whole.items():
      if not content:
        continue
      flip(path)
      # What the seal says of another file may be what the bit changed.
      named = self.folder if path.name == seals.SEAL else path
      with self.assertRaisesRegex(
        DamagedError, f'{named}.*; delete {self.folder}, and the same command'
      ):
        self.restored()
      path.write_bytes(content)
    self.assertEqual(self.restored()[0].step, 1)

  @parameterized.named_parameters(
    ('killed before it was sealed', lambda p: (p / seals.SEAL).unlink()),
    ('emptied', lambda p: [shutil.rmtree(p), p.mkdir()]),
    ('killed before it had its name',
     lambda p: p.rename(p.with_name('2.orbax-checkpoint-tmp'))),
  )  # fmt: skip
  def test_one_that_is_not_whole_was_never_there(self, damage):
    self.saved(state(1), state(2), keep=2)
    damage(self.folder / '2')
    found, _ = self.restored()
    self.assertEqual(found.step, 1)
    np.testing.assert_array_equal(found.params['w'], state(1).params['w'])
    self.assertEqual([p.name for p in self.folder.iterdir()], ['1'])

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_what_is_not_finite_is_not_saved(self, value):
    with self.assertRaisesRegex(
      FloatingPointError, f"{self.folder}: step 2.*'w'.*lower the learning rate"
    ):
      self.saved(state(1), state(2, value))
    self.assertEqual(self.restored()[0].step, 1)

  def test_nor_where_the_optimizer_is_not_a_number(self):
    def at(step, value):
      return state(step, opt_state=(jnp.float32(value),))

    # Infinity is where some optimizers start.
    with self.assertRaisesRegex(FloatingPointError, 'step 2'):
      self.saved(at(1, np.inf), at(2, np.nan))
    self.assertTrue((self.folder / '1').is_dir())

  def test_a_disk_without_room_is_told_and_the_old_one_stays(self):
    usage = mock.Mock(free=SIZE)
    with (
      mock.patch.object(shutil, 'disk_usage', return_value=usage),
      self.assertRaisesRegex(StorageError, f'{self.folder}: the disk is full'),
      checkpoints.Checkpoints(self.folder, meta={}) as saved,
    ):
      usage.free = 10 * SIZE
      saved.save(state(1))
      usage.free = SIZE
      saved.save(state(2))
    self.assertEqual(self.restored()[0].step, 1)

  def test_a_file_in_the_folders_place_is_told(self):
    self.folder.parent.mkdir()
    self.folder.write_text('x')
    with self.assertRaisesRegex(StorageError, f'{self.folder}: a file lies'):
      self.saved(state(1))


class ParamsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.stage = pathlib.Path(folder.name, 'stage')
    self.folder = self.stage / 'params'

  def loaded(self):
    like = jax.eval_shape(lambda: state(0).params)
    return checkpoints.load_params(self.folder, like)['w']

  def test_a_flipped_bit_is_refused_with_what_to_do(self):
    checkpoints.save_params(self.folder, state(1).params)
    found = [p for p in self.folder.rglob('*') if p.is_file()]
    largest = max(found, key=lambda path: path.stat().st_size)
    flip(largest)
    with self.assertRaisesRegex(
      DamagedError, f'{largest} is damaged.*; delete {self.stage}, and the same'
    ):
      self.loaded()

  def test_a_copy_of_other_files_is_kept_with_them(self):
    self.stage.mkdir()
    (self.stage / 'metrics.jsonl').write_text('{}\n')
    checkpoints.save_params(
      self.folder,
      state(1).params,
      also=[self.stage / 'metrics.jsonl', self.stage / 'samples.txt'],
    )
    np.testing.assert_array_equal(self.loaded(), state(1).params['w'])
    self.assertEqual((self.folder / 'metrics.jsonl').read_text(), '{}\n')
    flip(self.folder / 'metrics.jsonl')
    with self.assertRaisesRegex(DamagedError, 'metrics.jsonl'):
      self.loaded()

  @parameterized.parameters(np.nan, np.inf)
  def test_what_is_not_finite_is_not_handed_on(self, value):
    with self.assertRaisesRegex(FloatingPointError, f"{self.folder}.*'w'"):
      checkpoints.save_params(self.folder, state(1, value).params)
    self.assertFalse(self.folder.exists())

  def test_what_breaks_off_leaves_the_old_ones_alone(self):
    checkpoints.save_params(self.folder, state(1).params)
    with (
      mock.patch.object(seals, 'seal', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      checkpoints.save_params(self.folder, state(2).params)
    np.testing.assert_array_equal(self.loaded(), state(1).params['w'])
    self.assertEqual([p.name for p in self.stage.iterdir()], ['params'])


if __name__ == '__main__':
  absltest.main()
