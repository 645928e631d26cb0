"""Passes over a batch, on a loss that is linear in its rows."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.training import state as training
from rlhf_jax.types import Mean

ROWS = jnp.arange(1.0, 13.0)
RATE = 0.01


def loss(params, frozen, batch, key, *, models, config):
  """scale · factor · p · mean(row), and what was seen."""
  del models
  terms = {
    'only': (1.0, Mean.of(config.scale * frozen['factor'] * params * batch))
  }
  return terms, {
    'row': Mean.of(batch),
    'drawn': Mean.of(jax.random.uniform(key)),
  }


def run(loss=loss, epochs=1, minibatches=1, micro_batches=1):
  optimizer = optax.sgd(RATE)
  state = training.create(jnp.float32(2.0), optimizer)
  return training.passes(
    state,
    {'factor': jnp.float32(3.0)},
    ROWS,
    jax.random.key(0),
    loss=loss,
    models=None,
    optimizer=optimizer,
    config=SimpleNamespace(
      epochs=epochs,
      minibatches=minibatches,
      micro_batches=micro_batches,
      scale=0.5,
    ),
  )


class PassesTest(parameterized.TestCase):
  @parameterized.product(
    epochs=(1, 3), minibatches=(1, 4), micro_batches=(1, 3)
  )
  def test_every_row_is_seen_once_a_pass(
    self, epochs, minibatches, micro_batches
  ):
    state, metrics = run(
      epochs=epochs, minibatches=minibatches, micro_batches=micro_batches
    )
    # Each step goes down by rate · ½ · 3 · its rows' mean; the means of a
    # pass add up to minibatches · 6.5.
    moved = RATE * 0.5 * 3.0 * epochs * minibatches * 6.5
    np.testing.assert_allclose(state.params, 2.0 - moved, rtol=1e-5)
    self.assertEqual(state.step, 1)
    self.assertEqual(metrics['row'].weight, 12 * epochs)
    self.assertEqual(metrics['row'].total, 78 * epochs)
    steps = epochs * minibatches
    self.assertEqual(metrics['gradient_norm'].weight, steps)
    np.testing.assert_allclose(
      metrics['gradient_norm'].total, 0.5 * 3.0 * 6.5 * steps, rtol=1e-5
    )
    self.assertEqual(metrics['loss/only'].weight, 12 * epochs)

  def test_each_step_s_loss_is_handed_a_key_of_its_own(self):
    _, metrics = run(epochs=2, minibatches=2)
    keys = jax.random.split(jax.random.key(0), 2 + 4)[2:]
    drawn = [jax.random.uniform(key) for key in keys]
    self.assertLen(set(map(float, drawn)), 4)
    np.testing.assert_allclose(
      metrics['drawn'].value, np.mean(drawn), rtol=1e-5
    )

  def test_no_shuffle_shares_its_key_with_a_loss(self):
    seen, keys = [], []

    def noting(params, frozen, batch, key, **named):
      jax.debug.callback(
        lambda x, data: (seen.append(x.tolist()), keys.append(data)),
        batch,
        jax.random.key_data(key),
        ordered=True,
      )
      return loss(params, frozen, batch, key, **named)

    run(loss=noting, epochs=3, minibatches=1)
    jax.effects_barrier()
    self.assertLen({tuple(data.tolist()) for data in keys}, 3)
    of_losses = [
      ROWS[jax.random.permutation(jax.random.wrap_key_data(data), 12)].tolist()
      for data in keys
    ]
    for order in seen:
      self.assertNotIn(order, of_losses)

  def test_passes_are_shuffled_anew(self):
    seen = []

    def noting(params, frozen, batch, key, **named):
      jax.debug.callback(lambda x: seen.append(x.tolist()), batch, ordered=True)
      return loss(params, frozen, batch, key, **named)

    run(loss=noting, epochs=2, minibatches=1)
    jax.effects_barrier()
    orders = [tuple(int(x) for x in rows) for rows in seen]
    self.assertLen(set(orders), 2)
    self.assertNotIn(tuple(range(1, 13)), orders)

  def test_rows_that_do_not_divide_are_refused(self):
    with self.assertRaisesRegex(ValueError, '12 responses .* 5 minibatches'):
      run(minibatches=5)


if __name__ == '__main__':
  absltest.main()
