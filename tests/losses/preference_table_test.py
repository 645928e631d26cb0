"""What all objectives over pairs of responses promise, from one table.

Each is held to its equation in preference_table. What is peculiar to one is in
the test of its file.
"""

import functools
import itertools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import objective
from rlhf_jax.losses.pairwise import (
  anchored,
  f_divergences,
  imitation,
  per_token,
  reference_free,
  soft_labels,
  transport,
)
from tests.losses.preference_table import (
  BETA,
  LOGPS,
  TABLE,
  Pairs,
  with_log_ratios,
)


def bind(name):
  """The objective with its options, and what it reads."""
  function, options, _ = TABLE[name]
  options = {'beta': BETA} | options
  options = {k: value for k, value in options.items() if value is not None}
  bound = functools.partial(function, **options)
  return bound, objective.reads(bound)


def draw(shape, seed=0):
  """Pairs of ordinary size, no two alike."""
  random = np.random.default_rng(seed)
  offered = {name: -8.0 + 2.0 * random.normal(size=shape) for name in LOGPS}
  offered |= {
    'chosen_lengths': random.integers(3, 9, shape),
    'rejected_lengths': random.integers(3, 9, shape),
    'chosen_scores': random.normal(size=shape),
    'rejected_scores': random.normal(size=shape),
    'target_logps': -9.0 + random.normal(size=shape),
  }
  return with_log_ratios(
    {name: x.astype(np.float32) for name, x in offered.items()}
  )


def extremes():
  """Every combination of probable and improbable, of long and empty."""
  pairs = np.array(list(itertools.product((-1e3, -0.25, 0.0), repeat=4)))
  offered = dict(zip(LOGPS, pairs.T, strict=True))
  lengths = np.arange(len(pairs)) % 3
  offered |= {
    'chosen_lengths': lengths,
    'rejected_lengths': lengths[::-1],
    'chosen_scores': np.linspace(-100.0, 100.0, len(pairs)),
    'rejected_scores': np.zeros(len(pairs)),
    'target_logps': pairs[:, 0],
  }
  return with_log_ratios(
    {name: x.astype(np.float32) for name, x in offered.items()}
  )


def slopes(bound, names, offered):
  def total(*arrays):
    return bound(**dict(zip(names, arrays, strict=True))).sum()

  argnums = tuple(range(len(names)))
  return jax.jit(jax.grad(total, argnums))(*(offered[n] for n in names))


class PreferenceTableTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(*TABLE)
  def test_matches_its_equation(self, name):
    offered = draw((2, 5))
    bound, names = bind(name)
    given = {n: offered[n] for n in names}
    expected = TABLE[name][2](Pairs(offered))
    actual = self.variant(bound)(**given)
    chex.assert_shape(actual, (2, 5))
    chex.assert_type(actual, np.float32)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)

  @parameterized.parameters(*TABLE)
  def test_gradients(self, name):
    offered = draw((7,), seed=3)
    bound, names = bind(name)
    moved = [
      name
      for name in names
      if name.startswith(('policy', 'target')) or name.endswith('log_ratios')
    ]
    fixed = {n: offered[n] for n in names if n not in moved}

    def losses(*arrays):
      return bound(**fixed, **dict(zip(moved, arrays, strict=True)))

    points = tuple(offered[n] for n in moved)
    jax.test_util.check_grads(losses, points, 1, ['rev'], atol=2e-2, rtol=2e-2)

  @parameterized.parameters(*TABLE)
  def test_is_finite_wherever_its_input_is(self, name):
    offered = extremes()
    bound, names = bind(name)
    chex.assert_tree_all_finite(bound(**{n: offered[n] for n in names}))
    chex.assert_tree_all_finite(slopes(bound, names, offered))

  @parameterized.parameters(*TABLE)
  def test_is_finite_on_ties(self, name):
    """Where the policy is the reference, and both responses are the same."""
    same = np.full(3, -7.0, np.float32)
    offered = with_log_ratios(draw((3,)) | dict.fromkeys(LOGPS, same))
    bound, names = bind(name)
    chex.assert_tree_all_finite(bound(**{n: offered[n] for n in names}))
    chex.assert_tree_all_finite(slopes(bound, names, offered))

  @parameterized.parameters(*TABLE)
  def test_refuses_what_would_broadcast(self, name):
    offered = draw((4,))
    bound, names = bind(name)
    given = {n: offered[n] for n in names}
    for odd in names if len(names) > 1 else ():  # One has none to widen to.
      for shape in ((1,), (4, 1), ()):
        reshaped = given | {odd: np.resize(given[odd], shape)}
        with self.assertRaises(AssertionError, msg=f'{odd} {shape}'):
          bound(**reshaped)

  @parameterized.parameters(*TABLE)
  def test_refuses_whole_numbers(self, name):
    offered = draw((4,))
    bound, names = bind(name)
    for odd in names:
      given = {n: offered[n] for n in names}
      given[odd] = given[odd].astype(np.int32)
      with self.assertRaises(AssertionError, msg=odd):
        bound(**given)

  @parameterized.parameters(*TABLE)
  def test_only_the_coupled_see_the_rest_of_a_batch(self, name):
    offered = draw((6,), seed=1)
    bound, names = bind(name)
    together = bound(**{n: offered[n] for n in names})
    alone = [
      bound(**{n: offered[n][i : i + 1] for n in names})[0] for i in range(6)
    ]
    if name.startswith('aot'):
      self.assertGreater(np.abs(together - np.array(alone)).max(), 1e-2)
    else:
      np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)

  def test_the_table_is_complete(self):
    """Every public objective of these files has a row."""
    files = (
      anchored,
      f_divergences,
      imitation,
      reference_free,
      soft_labels,
      per_token,
      transport,
    )
    public = {
      name
      for file in files
      for name, thing in vars(file).items()
      if getattr(thing, '__module__', None) == file.__name__
      and not name.startswith('_')
      and not name.endswith('_rewards')
    }
    self.assertLessEqual(public, set(TABLE))
