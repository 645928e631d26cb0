"""AdamW by its definition, and rates by step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.training import optimizers


def adamw_by_definition(w, grads, config, rates):
  """Loshchilov and Hutter 2019, algorithm 2, in numpy; gradients clipped."""
  m, v = np.zeros_like(w), np.zeros_like(w)
  for t, (grad, rate) in enumerate(zip(grads, rates, strict=True), 1):
    norm = np.sqrt((grad**2).sum())
    grad = grad * min(1.0, config.max_grad_norm / norm)
    m = config.b1 * m + (1 - config.b1) * grad
    v = config.b2 * v + (1 - config.b2) * grad**2
    unbiased_m = m / (1 - config.b1**t)
    unbiased_v = v / (1 - config.b2**t)
    direction = unbiased_m / (np.sqrt(unbiased_v) + config.eps)
    w = w - rate * (direction + config.weight_decay * w)
  return w


class AdamTest(parameterized.TestCase):
  def test_matches_definition(self):
    config = optimizers.Adam(
      learning_rate=0.1,
      warmup=0.4,
      b1=0.7,
      b2=0.9,
      eps=1e-2,
      weight_decay=0.01,
      max_grad_norm=1.5,
    )
    random = np.random.default_rng(0)
    w, grads = random.normal(size=3), 2 * random.normal(size=(5, 3))
    optimizer = optimizers.adam(config, steps=5)
    params, state = jnp.array(w), None
    state = optimizer.init(params)
    for grad in grads:
      updates, state = optimizer.update(jnp.array(grad), state, params)
      params = optax.apply_updates(params, updates)
    # Two steps of warm-up, in thirds of the peak, then the peak.
    rates = 0.1 * np.array([1 / 3, 2 / 3, 1.0, 1.0, 1.0])
    expected = adamw_by_definition(w, grads, config, rates)
    np.testing.assert_allclose(params, expected, rtol=1e-4)

  @parameterized.parameters(
    (optimizers.constant, [1.0, 1.0, 1.0, 1.0]),
    (optimizers.linear, [1.0, 0.75, 0.5, 0.25]),
    (optimizers.cosine, [1.0, 0.8535534, 0.5, 0.1464466]),
  )
  def test_rates_by_step(self, decay, expected):
    shape = decay(4)
    rates = [shape(t) for t in range(4)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)

  @parameterized.parameters(
    # Two steps up, then four down, the last one above 0 as its step comes next.
    (optimizers.linear, [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25], 0.0),
    (
      functools.partial(optimizers.cosine, final=0.2),
      [1 / 3, 2 / 3]
      + [0.2 + 0.4 * (1.0 + np.cos(np.pi * t / 4)) for t in range(4)],
      0.2,
    ),
    (optimizers.constant, [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0], 1.0),
  )
  def test_a_decay_follows_the_warm_up_and_ends_with_the_run(
    self, decay, expected, after
  ):
    config = optimizers.Adam(
      learning_rate=0.1, warmup=2 / 6, decay=decay, b1=0.0, b2=0.0
    )
    optimizer = optimizers.Steps(
      steps=6, batch_size=1, optimizer=config
    ).make_optimizer()
    state, found = optimizer.init(jnp.zeros(1)), []
    for _ in range(7):
      # Without momentum each step is the rate itself.
      moved, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
      found.append(-float(moved[0]))
    np.testing.assert_allclose(
      found, 0.1 * np.array([*expected, after]), rtol=1e-4, atol=1e-7
    )

  def test_the_peak_is_in_the_state(self):
    # So one program serves every rate, and rates can be vmapped.
    config = optimizers.Adam(learning_rate=0.1, warmup=0.0)
    optimizer = optimizers.adam(config, steps=3)
    state = optimizer.init(jnp.zeros(2))
    rates = [
      leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(state)
      if 'learning_rate' in jax.tree_util.keystr(path)
    ]
    np.testing.assert_allclose(rates, [0.1], rtol=1e-6)

  def test_a_master_moves_by_less_than_bfloat16_can_say(self):
    """1 + 2⁻⁹ is 1 in bfloat16: alone it stays there for ever."""
    config = optimizers.Adam(
      learning_rate=2.0**-9, warmup=0.0, b1=0.0, b2=0.0, max_grad_norm=np.inf
    )
    for master, expected in ((False, 1.0), (True, 1.0 + 8 * 2.0**-9)):
      own = dataclasses.replace(config, float32_master=master)
      optimizer = optimizers.adam(own, 8)
      params = {'norm': {'scale': jnp.ones(3, jnp.bfloat16)}}
      state = optimizer.init(params)
      grads = jax.tree.map(lambda x: -jnp.ones_like(x), params)
      for _ in range(8):
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
      self.assertEqual(params['norm']['scale'].dtype, jnp.bfloat16)
      np.testing.assert_allclose(
        params['norm']['scale'].astype(np.float32), expected, rtol=1e-6
      )

  def test_with_float32_parameters_a_master_changes_nothing(self):
    config = optimizers.Adam(learning_rate=0.1, weight_decay=0.1)
    draw = np.random.default_rng(0)
    grads = [jnp.asarray(g, jnp.float32) for g in draw.normal(size=(4, 5))]
    found = []
    for master in (False, True):
      own = dataclasses.replace(config, float32_master=master)
      optimizer, params = optimizers.adam(own, 4), jnp.ones(5)
      state = optimizer.init(params)
      for grad in grads:
        updates, state = optimizer.update(grad, state, params)
        params = optax.apply_updates(params, updates)
      found.append(params)
    np.testing.assert_allclose(*found, rtol=1e-6)

  def test_moments_in_bfloat16_are_the_definitions_rounded(self):
    config = optimizers.Adam(
      learning_rate=0.1, warmup=0.0, b1=0.7, b2=0.9, bfloat16_moments=True
    )
    random = np.random.default_rng(0)
    w, grads = random.normal(size=6), random.normal(size=(4, 6))
    optimizer = optimizers.adam(config, steps=4)
    params, state = jnp.array(w), optimizer.init(jnp.array(w))
    m, v = np.zeros(6), np.zeros(6)
    for t, grad in enumerate(grads, 1):
      updates, state = optimizer.update(jnp.array(grad), state, params)
      grad = grad / max(1.0, np.linalg.norm(grad))
      m, v = 0.7 * m + 0.3 * grad, 0.9 * v + 0.1 * grad**2
      unbiased = m / (1 - 0.7**t), v / (1 - 0.9**t)
      expected = -0.1 * unbiased[0] / (np.sqrt(unbiased[1]) + config.eps)
      np.testing.assert_allclose(updates, expected, rtol=2e-4, atol=1e-6)
      m, v = (x.astype(jnp.bfloat16).astype(np.float64) for x in (m, v))

  @parameterized.parameters(False, True)
  def test_moments_take_so_many_bytes(self, master):
    # Two moments a parameter; the counts, the rate and the copy beside them.
    config = optimizers.Adam(learning_rate=0.1, float32_master=master)
    dtype = jnp.bfloat16 if master else jnp.float32
    params = {'kernel': jax.ShapeDtypeStruct((1000,), dtype)}
    sizes = []
    for own in (config, dataclasses.replace(config, bfloat16_moments=True)):
      state = jax.eval_shape(optimizers.adam(own, 4).init, params)
      leaves = jax.tree.leaves(state)
      sizes.append(sum(x.size * x.dtype.itemsize for x in leaves))
    self.assertEqual(sizes[0] - sizes[1], 1000 * 2 * (4 - 2))

  def test_a_moment_that_could_not_fall_is_refused(self):
    with self.assertRaisesRegex(
      ValueError, 'b2 is 0.999, .* bfloat16 .*0.99 or less'
    ):
      optimizers.Adam(learning_rate=0.1, b2=0.999, bfloat16_moments=True)
    optimizers.Adam(learning_rate=0.1, b2=0.999)
    # At the slowest that is let through, it does fall.
    moment = jnp.bfloat16(1.0)
    for _ in range(300):
      moment = (optimizers.SLOWEST * moment.astype(jnp.float32)).astype(
        jnp.bfloat16
      )
    self.assertLess(float(moment), 0.1)

  def test_roles_have_their_own(self):
    fast, slow = (
      optimizers.adam(optimizers.Adam(learning_rate=rate, warmup=0.0), 3)
      for rate in (0.1, 0.001)
    )
    optimizer = optimizers.by_role({'policy': fast, 'critic': slow})
    params = {'policy': jnp.zeros(1), 'critic': {'head': jnp.zeros(1)}}
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates['policy'], -0.1, rtol=1e-4)
    np.testing.assert_allclose(updates['critic']['head'], -0.001, rtol=1e-4)

  def test_a_warm_up_longer_than_the_run_is_refused(self):
    with self.assertRaisesRegex(ValueError, r'warmup is 1.0; .*\[0, 1\)'):
      optimizers.Adam(learning_rate=0.1, warmup=1.0)


if __name__ == '__main__':
  absltest.main()
