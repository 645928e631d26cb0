"""Locks: many read a stage, or one makes it; who waits can be stopped."""

import contextlib
import io
import pathlib
import tempfile
import threading
import time

from absl.testing import absltest

from rlhf_jax.experiment import locks
from rlhf_jax.storage.files import StorageError
from rlhf_jax.training import stopping

SOON = 2.0  # Seconds.


class LocksTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)
    self.console = io.StringIO()
    self.addCleanup(stopping.reset)

  def lock(self):
    made = locks.Lock(self.folder, 'sft-1', who='sft', console=self.console)
    self.addCleanup(made.close)
    return made

  def waits(self, take):
    """Whether `take` waits; it is stopped then."""
    timer = threading.Timer(0.5, self.stop)
    timer.start()
    began = time.monotonic()
    try:
      with contextlib.suppress(stopping.Stopped):
        take()
        return False
      self.assertLess(time.monotonic() - began, SOON)
      return True
    finally:
      timer.cancel()
      stopping.reset()

  def stop(self):
    with contextlib.suppress(stopping.Stopped):
      stopping.ask()  # Not in the thread that waits: it has to look.

  def test_many_read(self):
    self.lock().share()
    self.assertFalse(self.waits(self.lock().share))
    self.assertEqual(self.console.getvalue(), '')

  def test_nobody_makes_what_another_reads_or_makes(self):
    reader = self.lock()
    reader.share()
    self.assertTrue(self.waits(self.lock().alone))
    self.assertRegex(
      self.console.getvalue(), '^ +sft  waits for another run [^\n]+\n$'
    )
    reader.close()
    maker = self.lock()
    self.assertFalse(self.waits(maker.alone))
    self.assertTrue(self.waits(self.lock().alone))
    self.assertTrue(self.waits(self.lock().share))
    maker.share()
    self.assertFalse(self.waits(self.lock().share))

  def test_two_readers_that_both_want_to_make_do_not_wait_for_each_other(self):
    one, other = self.lock(), self.lock()
    one.share()
    other.share()
    thread = threading.Thread(target=one.alone)
    thread.start()
    other.close()
    thread.join(SOON)
    self.assertFalse(thread.is_alive())

  def test_for_the_length_of_a_block(self):
    with self.lock().alone():
      self.assertTrue(self.waits(self.lock().share))
    with self.lock().share():
      self.assertTrue(self.waits(self.lock().alone))
    self.assertFalse(self.waits(self.lock().alone))

  def test_a_file_in_the_place_of_the_locks_is_told(self):
    (self.folder / '.locks').write_text('x')
    with self.assertRaisesRegex(StorageError, r'\.locks: a file lies where'):
      self.lock()


if __name__ == '__main__':
  absltest.main()
