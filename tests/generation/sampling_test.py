"""Next-token transforms against their definitions in numpy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.generation import Sampling, transform
from tests.generation import cut_definitions as definitions

VOCABULARY = 9


CUTS = (
  (definitions.top_k, 1),
  (definitions.top_k, 4),
  (definitions.top_k, 20),
  (definitions.top_p, 0.05),
  (definitions.top_p, 0.6),
  (definitions.top_p, 0.95),
  (definitions.min_p, 0.3),
  (definitions.typical_p, 0.2),
  (definitions.typical_p, 0.9),
  (definitions.epsilon, 0.08),
  (definitions.eta, 0.2),
)


class CutTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    logits = 2.0 * draw.normal(size=(3, 4, VOCABULARY))
    self.logits = logits.astype(np.float32)

  def check(self, cut, logits, kept):
    """Kept logits are untouched, the others −inf."""
    for row in np.ndindex(logits.shape[:-1]):
      expected = np.full(VOCABULARY, -np.inf)
      places = sorted(kept(logits[row].astype(np.float64)))
      expected[places] = logits[row][places]
      np.testing.assert_array_equal(cut[row], expected)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    (f'{rule.__name__}_{value}', rule, value) for rule, value in CUTS
  )
  def test_matches_definition(self, rule, value):
    cut = self.variant(transform)(
      self.logits, Sampling(**{rule.__name__: value})
    )
    self.check(cut, self.logits, lambda row: rule(row, value))

  @parameterized.parameters('top_p', 'typical_p')
  def test_a_bound_that_holds_the_mass_changes_nothing(self, name):
    free = transform(self.logits, Sampling(**{name: 0.5}))
    bound = transform(self.logits, Sampling(**{name: 0.5}, top_k_bound=7))
    np.testing.assert_array_equal(free, bound)
    self.assertLessEqual(np.isfinite(free).sum(axis=-1).max(), 7)

  @parameterized.parameters(
    ('top_k', 3),
    ('top_p', 0.05),
    ('min_p', 1.0),
    ('typical_p', 0.05),
    ('epsilon', 0.9),
    ('eta', 0.9),
  )
  def test_keeps_as_many_as_it_is_told_to(self, name, value):
    sampling = Sampling(**{name: value}, min_tokens_to_keep=5)
    kept = np.isfinite(transform(self.logits, sampling))
    np.testing.assert_array_equal(kept.sum(axis=-1), np.full((3, 4), 5))
    if name != 'typical_p':
      best = np.argmax(self.logits, axis=-1)[..., None]
      self.assertTrue(np.take_along_axis(kept, best, axis=-1).all())

  @parameterized.parameters(
    ('epsilon', 0.9), ('eta', 0.9), ('min_p', 1.0), ('top_p', 0.01)
  )
  def test_the_best_always_stays(self, name, value):
    kept = np.isfinite(transform(self.logits, Sampling(**{name: value})))
    best = np.argmax(self.logits, axis=-1)[..., None]
    self.assertTrue(np.take_along_axis(kept, best, axis=-1).all())

  def test_top_k_keeps_ties_and_top_p_splits_them(self):
    row = np.array([[1, 3, 2, 2, 2, 0, 0, 0, 0]], np.float32)
    cut = transform(row, Sampling(top_k=2))
    np.testing.assert_array_equal(
      np.isfinite(cut[0]), [False, True, True, True, True] + [False] * 4
    )
    even = np.zeros((1, VOCABULARY), np.float32)
    cut = transform(even, Sampling(top_p=0.5))  # 5 of 9 reach a half.
    np.testing.assert_array_equal(np.isfinite(cut[0]), [True] * 5 + [False] * 4)

  def test_a_top_p_of_one_cuts_nothing(self):
    logits = np.zeros((1, VOCABULARY), np.float32)
    logits[0, 0] = 40.0  # The others are below the rounding of the sum.
    cut = transform(logits, Sampling(top_p=1.0))
    np.testing.assert_array_equal(cut, logits)

  def test_cuts_follow_each_other(self):
    settings = {'temperature': 1.7, 'top_k': 5, 'top_p': 0.8}
    cut = np.asarray(transform(self.logits, Sampling(**settings)))
    warm = self.logits / np.float32(1.7)

    def kept(row):
      first = definitions.top_k(row, 5)
      left = np.array([x if i in first else -np.inf for i, x in enumerate(row)])
      return definitions.top_p(left, 0.8)

    self.check(cut, warm, kept)


class PenaltyTest(parameterized.TestCase):
  def test_repetition_penalty_by_hand(self):
    logits = np.array([[2.0, -2.0, 0.5, -0.5]], np.float32)
    seen = np.array([[True, True, False, False]])
    cut = transform(logits, Sampling(repetition_penalty=2.0), seen=seen)
    np.testing.assert_array_equal(cut, [[1.0, -4.0, 0.5, -0.5]])

  def test_repetition_penalty_asks_for_what_was_seen(self):
    with self.assertRaisesRegex(ValueError, 'needs the tokens seen'):
      transform(np.zeros((1, 4), np.float32), Sampling(repetition_penalty=2.0))

  @parameterized.parameters((0, True), (2, True), (3, False), (4, False))
  def test_no_stop_before_the_minimum(self, step, removed):
    logits = np.zeros((2, 5), np.float32)
    cut = transform(
      logits, Sampling(min_new_tokens=3), step=step, stop_ids=(1, 4)
    )
    expected = np.zeros((2, 5))
    if removed:
      expected[:, [1, 4]] = -np.inf
    np.testing.assert_array_equal(cut, expected)

  def test_penalty_comes_before_temperature(self):
    logits = np.array([[2.0, 1.0]], np.float32)
    seen = np.array([[True, False]])
    cut = transform(
      logits, Sampling(repetition_penalty=4.0, temperature=0.5), seen=seen
    )
    np.testing.assert_array_equal(cut, [[1.0, 2.0]])


class SamplingTest(parameterized.TestCase):
  @parameterized.parameters(
    ('temperature', 0.0),
    ('top_k', 0),
    ('top_p', 0.0),
    ('top_p', 1.5),
    ('min_p', -0.1),
    ('typical_p', 1.0),
    ('epsilon', 1.0),
    ('eta', 0.0),
    ('repetition_penalty', 0.0),
    ('min_new_tokens', -1),
  )
  def test_refuses_impossible_values(self, name, value):
    with self.assertRaisesRegex(ValueError, f'sampling.{name} is .* must be'):
      Sampling(**{name: value})

  def test_refuses_top_k_above_its_bound(self):
    with self.assertRaisesRegex(ValueError, 'pass top_k_bound=300 or more'):
      Sampling(top_k=300)
    Sampling(top_k=300, top_k_bound=300)

  def test_values_compile_once(self):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def once(logits, sampling):
      return transform(logits, sampling)

    logits = np.zeros((2, VOCABULARY), np.float32)
    for temperature, k, p in ((1, 3, 0.5), (0.7, 5, 1), (np.float64(2), 1, 1)):
      once(logits, Sampling(temperature=temperature, top_k=k, top_p=p))

  def test_values_travel_as_leaves_and_settings_do_not(self):
    sampling = Sampling(temperature=0.5, top_k=3, top_k_bound=8)
    leaves = jax.tree.leaves(sampling)
    np.testing.assert_array_equal(np.sort(leaves), [0.5, 3])
    back = jax.tree.map(lambda x: x, sampling)
    self.assertEqual(back, sampling)

  def test_no_step_sorts_a_large_vocabulary(self):
    logits = jnp.zeros((1, 5_000))
    sampling = Sampling(top_k=50, top_p=0.9, typical_p=0.9, temperature=0.7)
    text = str(jax.make_jaxpr(transform)(logits, sampling))
    self.assertNotIn(' sort[', text)
    self.assertEqual(text.count('k=128'), text.count('top_k['))
    self.assertEqual(text.count('top_k['), 3)


if __name__ == '__main__':
  absltest.main()
