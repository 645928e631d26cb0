"""Making a stage beside other runs: what is in use is never cleared."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tempfile
import threading
import types
from unittest import mock

from absl.testing import absltest

from experiments import sandbox_chain
from rlhf_jax.addressing import describe
from rlhf_jax.experiment import ExperimentError, locks, running, store
from rlhf_jax.experiment.run import check_same, clear, link, make
from tests.experiment import small


def folders(root, addresses):
  return store.Folders(
    root=root, addresses=addresses, settings={}, console=io.StringIO()
  )


class ResumeTest(absltest.TestCase):
  def test_a_run_goes_on_on_another_mesh_and_with_no_other_settings(self):
    out = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    made = sandbox_chain.experiment(
      sandbox_chain.Settings(), title='one', stages=small.earlier()
    )
    (out / 'config.json').write_text(json.dumps(describe(made)))
    mesh = {'data': 2, 'fsdp': 4, 'tensor': 2}
    check_same(dataclasses.replace(made, mesh=mesh), out)
    with self.assertRaisesRegex(ExperimentError, 'seed was 0 and is 7'):
      check_same(dataclasses.replace(made, mesh=mesh, seed=7), out)


class MakeTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.stages = pathlib.Path(folder.name)
    self.folder = store.Folder(self.stages / 'sft-1')
    self.made = []
    self.enterContext(mock.patch.object(running, 'run_stage', self.run_stage))

  def chain(self):
    return types.SimpleNamespace(
      experiment=types.SimpleNamespace(stages=('sft',)),
      folders=folders(self.stages, {'sft': 'sft-1'}),
    )

  def run_stage(self, chain, name):
    if self.folder.done:
      return 0.0
    self.folder.path.mkdir(exist_ok=True)
    self.made.append(sorted(p.name for p in self.folder.path.iterdir()))
    self.folder.finish({'seconds': 1.0})
    return 1.0

  def make(self, held, fresh=False):
    if fresh:
      clear(self.chain())
    return make(self.chain(), 'sft', held)

  def test_once_and_again_where_that_is_asked(self):
    for fresh, seconds in ((False, 1.0), (False, 0.0), (True, 1.0)):
      with contextlib.ExitStack() as held:
        self.assertEqual(self.make(held, fresh), seconds)
    self.assertLen(self.made, 2)

  def test_what_a_run_may_still_read_is_not_cleared(self):
    with contextlib.ExitStack() as one:
      self.make(one)
      (self.folder.path / 'mine').write_text('')
      with contextlib.ExitStack() as other:
        fresh = threading.Thread(target=self.make, args=(other, True))
        fresh.start()
        fresh.join(1.0)
        self.assertTrue(fresh.is_alive())
        self.assertTrue((self.folder.path / 'mine').exists())
        self.assertTrue(self.folder.done)
        one.close()
        fresh.join(5.0)
        self.assertFalse(fresh.is_alive())
    self.assertEqual(self.made, [[], []])  # From nothing, both times.

  def test_it_is_not_cleared_while_it_is_made(self):
    lock = locks.Lock(self.stages, 'sft-1', who='x', console=io.StringIO())
    lock.alone()
    self.folder.path.mkdir()
    (self.folder.path / 'half').write_text('')
    with contextlib.ExitStack() as other:
      fresh = threading.Thread(target=self.make, args=(other, True))
      fresh.start()
      fresh.join(1.0)
      self.assertTrue((self.folder.path / 'half').exists())
      lock.close()
      fresh.join(5.0)
    self.assertEqual(self.made, [[]])

  def test_one_cleared_between_making_and_reading_is_made_again(self):
    def share(lock, real=locks.Lock.share):
      if len(self.made) == 1 and self.folder.done:
        self.folder.clear()  # By another run, which was stopped then.
      real(lock)

    with (
      mock.patch.object(locks.Lock, 'share', share),
      contextlib.ExitStack() as held,
    ):
      self.assertEqual(self.make(held), 2.0)
    self.assertLen(self.made, 2)
    self.assertTrue(self.folder.done)

  def test_what_a_kill_left_is_swept(self):
    self.folder.path.mkdir()
    (self.folder.path / '.done.json.0.partial').write_text('{"st')
    (self.stages / '.sft-1.0.partial').mkdir()
    with contextlib.ExitStack() as held:
      self.make(held)
    self.assertEqual(self.made, [[]])
    self.assertFalse((self.stages / '.sft-1.0.partial').exists())


class FreshTest(absltest.TestCase):
  def test_runs_that_share_stages_in_other_orders_all_end(self):
    stages = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    both = threading.Barrier(2, timeout=2.0)

    def run_stage(chain, name):
      folder = chain.folders[name]
      if folder.done:
        return 0.0
      with contextlib.suppress(threading.BrokenBarrierError):
        both.wait()  # Both runs are in the middle of their first stage.
      folder.path.mkdir(exist_ok=True)
      folder.finish({'seconds': 1.0})
      return 1.0

    def run(names, fresh):
      chain = types.SimpleNamespace(
        experiment=types.SimpleNamespace(stages=names),
        folders=folders(stages, {name: name for name in names}),
      )
      if fresh:
        clear(chain)
      with contextlib.ExitStack() as held:
        for name in names:
          make(chain, name, held)
          self.assertTrue(chain.folders[name].done)
      ended.append(names)

    ended = []
    self.enterContext(mock.patch.object(running, 'run_stage', run_stage))
    for one, other in ((True, True), (True, False)):
      both.reset()
      threads = [
        threading.Thread(target=run, args=taken, daemon=True)
        for taken in ((('a', 'b'), one), (('b', 'a'), other))
      ]
      for thread in threads:
        thread.start()
      for thread in threads:
        thread.join(10.0)
        self.assertFalse(thread.is_alive())
      self.assertLen(ended, 2)
      ended.clear()


class LinkTest(absltest.TestCase):
  def test_is_moved_whole_and_never_over_a_folder(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    for name in ('one', 'other'):
      (folder / name).mkdir()
      link(folder / 'stages', 'sft', folder / name)
      path = folder / 'stages' / 'sft'
      self.assertEqual(path.resolve(), (folder / name).resolve())
    path.unlink()
    path.mkdir()
    with self.assertRaisesRegex(OSError, f'{path}: a folder lies where'):
      link(folder / 'stages', 'sft', folder / 'one')
    self.assertEqual([p.name for p in path.parent.iterdir()], ['sft'])


if __name__ == '__main__':
  absltest.main()
