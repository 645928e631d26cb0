"""The loop and its checkpoints: any step can be the last, or the first."""

import io
import pathlib
import tempfile
import time
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax import progress
from rlhf_jax.training import checkpoints, loop, stopping
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean


class Batches:
  """Batch of step t: the number t."""

  def starting_at(self, step):
    while True:
      yield jnp.float32(step)
      step += 1


def update(state, frozen, batch, key):
  """Remembers what each step was given, in a sum no other order gives."""
  noise = jax.random.uniform(key)
  params = {'w': 0.9 * state.params['w'] + batch + noise + frozen['shift']}
  metrics = {'loss/w': Mean.of(params['w'])}
  return state.replace(step=state.step + 1, params=params), metrics


class Rows:
  def __init__(self):
    self.rows = []

  def write(self, stage, step, row):
    self.rows.append((stage, step, row))

  def close(self):
    pass


def losses(rows):
  return [(step, row['loss/w']) for _, step, row in rows]


class LoopTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def begin(self):
    return training.create({'w': jnp.float32(1.0)}, optax.sgd(0.1))

  def train(self, folder, steps, meta='config', **changes):
    writer = changes.get('writer') or Rows()
    with checkpoints.Checkpoints(
      self.folder / folder, meta={'address': meta}
    ) as saved:
      state = loop.train(
        saved.restore(self.begin()) or self.begin(),
        {'shift': jnp.float32(0.25)},
        Batches(),
        jax.random.key(3),
        update=changes.get('update', update),
        collect=changes.get('collect'),
        saved=saved,
        writers=[writer],
        loop=loop.Loop(
          stage='s',
          steps=steps,
          log_every=changes.get('log_every', 3),
          checkpoint_every=8 if 'log_every' in changes else 2,
          sample_every=500,
          show=(),
          console=changes.get('console') or io.StringIO(),
        ),
      )
    return state, writer.rows

  def by_definition(self, steps):
    w = 1.0
    for step in range(steps):
      key = jax.random.fold_in(jax.random.key(3), step)
      w = 0.9 * w + step + float(jax.random.uniform(key)) + 0.25
    return w

  def test_each_step_has_its_batch_and_its_key(self):
    state, _ = self.train('a', 7)
    self.assertEqual(state.step, 7)
    np.testing.assert_allclose(
      state.params['w'], self.by_definition(7), rtol=1e-6
    )

  def test_a_run_in_two_parts_is_the_run(self):
    whole, _ = self.train('whole', 7)
    self.train('parts', 4)
    parts, rows = self.train('parts', 7)
    self.assertEqual(whole.params['w'], parts.params['w'])
    self.assertEqual([step for _, step, _ in rows], [6, 7])

  @parameterized.parameters(*range(1, 8))
  def test_a_run_stopped_in_any_step_is_the_run(self, stop):
    whole, rows = self.train('whole', 8, log_every=4)
    self.addCleanup(stopping.reset)

    def stopped_at(state, frozen, batch, key):
      if batch == stop - 1:
        stopping.ask()  # The step is finished, and saved.
      return update(state, frozen, batch, key)

    first, second = Rows(), Rows()
    with self.assertRaises(stopping.Stopped) as raised:
      self.train('parts', 8, log_every=4, update=stopped_at, writer=first)
    self.assertEqual(raised.exception.kept, f's is saved at step {stop}')
    stopping.reset()
    parts, _ = self.train('parts', 8, log_every=4, writer=second)
    self.assertEqual(whole.params['w'], parts.params['w'])
    # The metrics of steps before a stop count in the row after it.
    self.assertEqual(losses(first.rows + second.rows), losses(rows))

  def test_a_stop_does_not_wait_for_what_is_collected(self):
    self.addCleanup(stopping.reset)
    asked = []

    def collect(state, frozen, prompts, key):
      del state, frozen, key
      asked.append(prompts)
      if prompts == 3:
        stopping.ask()
      return prompts, {}

    with self.assertRaises(stopping.Stopped) as raised:
      self.train('a', 7, collect=collect)
    self.assertEqual(raised.exception.kept, 's is saved at step 3')
    stopping.reset()
    with self.assertRaises(stopping.Stopped):
      self.train('a', 7, collect=collect)
    self.assertEqual(asked, [0, 1, 2, 3, 3])

  def test_parameters_that_are_not_finite_are_not_saved(self):
    def diverge(state, frozen, batch, key):
      state, metrics = update(state, frozen, batch, key)
      w = jnp.where(batch == 4, jnp.inf, state.params['w'])
      # A loss that shows nothing.
      return state.replace(params={'w': w}), {'loss/w': Mean.of(0.0)}

    with self.assertRaisesRegex(FloatingPointError, 'step 6 is not saved'):
      self.train('a', 7, update=diverge)
    with checkpoints.Checkpoints(
      self.folder / 'a', meta={'address': 'config'}
    ) as saved:
      self.assertEqual(saved.restore(self.begin()).step, 4)

  def test_logs_when_asked_and_whenever_it_saves(self):
    _, rows = self.train('a', 7)
    self.assertEqual([step for _, step, _ in rows], [2, 3, 4, 6, 7])

  def test_what_is_collected_is_learnt_from_and_logged(self):
    def collect(state, frozen, prompts, key):
      del state, frozen, key
      return -prompts, {'asked': Mean.of(prompts)}

    state, rows = self.train('a', 2, collect=collect)
    self.assertLess(state.params['w'], self.by_definition(2))
    self.assertEqual(rows[0][2]['asked'], 0.5)
    self.assertIn('seconds/update', rows[0][2])

  def test_the_seconds_of_an_update_are_the_devices_not_the_dispatch(self):
    def sleep(w):
      time.sleep(0.05)
      return w

    @jax.jit
    def slow(state, frozen, batch, key):
      shape = jax.ShapeDtypeStruct((), jnp.float32)
      w = jax.pure_callback(sleep, shape, state.params['w'])
      return update(state.replace(params={'w': w}), frozen, batch, key)

    _, rows = self.train('a', 9, update=slow, log_every=4)
    seconds = [row['seconds/update'] for _, step, row in rows if step > 4]
    self.assertLen(seconds, 2)
    for measured in seconds:
      self.assertBetween(measured, 0.05, 1.0)

  def test_the_console_shows_the_loss_and_that_it_compiles(self):
    def first_slow(state, frozen, batch, key):
      if state.step == 0:
        time.sleep(0.2)
      return update(state, frozen, batch, key)

    console = io.StringIO()
    with mock.patch.object(progress, 'EVERY', 0.05):
      _, rows = self.train('a', 3, update=first_slow, console=console)
    told = console.getvalue().splitlines()
    self.assertRegex(told[0], '^ +s  compiling, 0 s so far$')
    self.assertEqual(sum('compiling' in line for line in told[-1:]), 0)
    loss = losses(rows)[-1][1]
    self.assertIn(f'loss/w {loss:.3g}', told[-1])

  def test_what_is_collected_has_keys_of_its_own(self):
    handed = []

    def collect(state, frozen, prompts, key):
      del state, frozen
      handed.append(key)
      return prompts, {}

    def noting(state, frozen, batch, key):
      handed.append(key)
      return update(state, frozen, batch, key)

    self.train('a', 3, collect=collect, update=noting)
    self.assertLen(handed, 6)
    # Whoever is handed one may fold anything from it.
    every = [
      tuple(jax.random.key_data(key).tolist())
      for one in handed
      for key in (one, *(jax.random.fold_in(one, i) for i in range(5)))
    ]
    self.assertLen(set(every), len(every))

  @parameterized.parameters(jnp.inf, -jnp.inf, jnp.nan)
  def test_any_other_metric_that_is_not_finite_is_nan(self, value):
    def measured(state, frozen, batch, key):
      state, metrics = update(state, frozen, batch, key)
      return state, metrics | {'margin': Mean.of(value)}

    state, rows = self.train('a', 2, update=measured)
    self.assertEqual(state.step, 2)
    self.assertTrue(all(np.isnan(row['margin']) for _, _, row in rows))

  def test_a_loss_that_is_not_finite_stops_the_run(self):
    def diverge(state, frozen, batch, key):
      state, metrics = update(state, frozen, batch, key)
      bad = jnp.where(batch == 4, jnp.nan, 0.0)
      return state, {'loss/w': Mean.of(bad)}

    with self.assertRaisesRegex(
      FloatingPointError, 's: loss/w is nan at step 6; lower the learning rate'
    ):
      self.train('a', 7, update=diverge)
    with checkpoints.Checkpoints(
      self.folder / 'a', meta={'address': 'config'}
    ) as saved:
      restored = saved.restore(self.begin())
    self.assertEqual(restored.step, 4)

  def test_another_configs_checkpoint_is_refused(self):
    self.train('a', 2)
    with self.assertRaisesRegex(ValueError, 'written under another config'):
      self.train('a', 4, meta='other')

  @parameterized.parameters('loss/critic', 'loss/entropy', 'loss/w')
  def test_any_loss_that_is_not_finite_stops_the_run(self, name):
    def diverge(state, frozen, batch, key):
      state, metrics = update(state, frozen, batch, key)
      return state, metrics | {
        'loss/policy': Mean.of(0.0),
        name: Mean.of(jnp.nan),
      }

    with self.assertRaisesRegex(FloatingPointError, f's: {name} is nan'):
      self.train('a', 2, update=diverge)

  def test_parameters_are_handed_on_exactly(self):
    params = {'a': jnp.arange(3.0) / 3, 'b': {'c': jnp.ones((2, 2), jnp.int32)}}
    checkpoints.save_params(self.folder / 'params', params)
    found = checkpoints.load_params(
      self.folder / 'params', jax.eval_shape(lambda: params)
    )
    chex.assert_trees_all_equal(params, found)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, found)


if __name__ == '__main__':
  absltest.main()
