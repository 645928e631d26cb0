"""Views drawn from a prompt's responses: which may be paired, and how often."""

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized
from scipy import stats

from rlhf_jax.kernels import views

PAD, JUNK = 0, 77
# A prompt 5 6 and its responses; the second and the fourth are the same text,
# the third is the first and more.
TEXTS = ((5, 6, 1), (5, 6, 2, 3), (5, 6, 1, 1), (5, 6, 2, 3), (5, 6))
SAME = {(1, 3), (3, 1)}


def padded(rows, columns=6, fill=PAD):
  tokens = np.full((len(rows), columns), fill, np.int32)
  mask = np.zeros(tokens.shape, bool)
  for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
    mask[i, : len(row)] = True
  return tokens, mask


def pairs_of(allowed):
  return {tuple(pair) for pair in np.argwhere(allowed).tolist()}


class DifferentTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    ((True,) * 5,), ((True, True, True, True, False),), ((False,) * 5,)
  )
  def test_responses_that_are_there_and_differ(self, there):
    tokens, mask = padded(TEXTS)
    allowed = self.variant(views.different)(tokens, mask, np.array(there))
    expected = {
      (i, j)
      for i in range(5)
      for j in range(5)
      if i != j and there[i] and there[j] and (i, j) not in SAME
    }
    self.assertEqual(pairs_of(allowed), expected)

  @chex.variants(with_jit=True, without_jit=True)
  def test_padding_may_hold_anything(self):
    there = np.ones(5, bool)
    clean = self.variant(views.different)(*padded(TEXTS), there)
    tokens, mask = padded(TEXTS)
    tokens = np.where(mask, tokens, JUNK + np.arange(tokens.size).reshape(5, 6))
    junk = self.variant(views.different)(tokens.astype(np.int32), mask, there)
    np.testing.assert_array_equal(junk, clean)

  def test_refuses(self):
    tokens, mask, there = *padded(TEXTS), np.ones(5, bool)
    for wrong in (
      (tokens, mask, there[:1]),
      (tokens, mask[:1], there),
      (tokens, mask[:, :1], there),
      (tokens[0], mask[0], there),
      (tokens, mask, there[:, None]),
      (tokens, mask.astype(np.int32), there),
      (tokens, mask, there.astype(np.float32)),
      (tokens.astype(np.float32), mask, there),
    ):
      with self.assertRaises(AssertionError):
        views.different(*wrong)


class DrawTest(chex.TestCase):
  def allowed(self):
    return np.asarray(views.different(*padded(TEXTS), np.ones(5, bool)))

  @chex.variants(with_jit=True, without_jit=True)
  def test_uniform_over_the_ordered_pairs_that_are_allowed(self):
    allowed, count = self.allowed(), 18_000
    keys = jax.random.split(jax.random.key(0), count)
    draw = jax.vmap(views.draw, in_axes=(0, None))
    places, found = self.variant(draw)(keys, allowed)
    self.assertTrue(np.all(found))
    self.assertEqual(places.shape, (count, 2))
    self.assertEqual(places.dtype, np.int32)
    drawn = np.zeros((5, 5), int)
    np.add.at(drawn, tuple(np.asarray(places).T), 1)
    # Never the same twice, never the same text: 25 - 5 - 2 pairs are left.
    np.testing.assert_array_equal(drawn[~allowed], 0)
    self.assertEqual(allowed.sum(), 18)
    expected = count / 18
    chi_square = np.sum((drawn[allowed] - expected) ** 2 / expected)
    self.assertLess(chi_square, stats.chi2(17).ppf(0.9999))

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1, 2, 5)
  def test_of_equal_texts_there_is_none(self, count):
    tokens, mask = padded([TEXTS[1]] * count)
    allowed = views.different(tokens, mask, np.ones(count, bool))
    for seed in range(5):
      places, found = self.variant(views.draw)(jax.random.key(seed), allowed)
      self.assertFalse(found)
      # What stands there means nothing, but a batch is indexed by it.
      self.assertTrue(np.all((places >= 0) & (places < count)))

  @chex.variants(with_jit=True, without_jit=True)
  def test_the_only_pair_is_drawn_in_both_orders(self):
    allowed = np.zeros((4, 4), bool)
    allowed[3, 1] = allowed[1, 3] = True
    keys = jax.random.split(jax.random.key(1), 40)
    draw = jax.vmap(views.draw, in_axes=(0, None))
    places, found = self.variant(draw)(keys, allowed)
    self.assertTrue(np.all(found))
    self.assertEqual(
      {tuple(pair) for pair in np.asarray(places).tolist()}, {(1, 3), (3, 1)}
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_key_says_which(self):
    keys = jax.random.split(jax.random.key(2), 50)
    draw = self.variant(jax.vmap(views.draw, in_axes=(0, None)))
    first, again = (draw(keys, self.allowed())[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other, _ = draw(jax.random.split(jax.random.key(3), 50), self.allowed())
    self.assertFalse(np.array_equal(first, other))

  def test_refuses(self):
    key = jax.random.key(0)
    for wrong in (
      np.ones(4, bool),
      np.ones((2, 4, 4), bool),
      np.ones((4, 4), np.float32),
    ):
      with self.assertRaises(AssertionError):
        views.draw(key, wrong)

  @parameterized.parameters((2, 3), (3, 1))
  def test_refuses_what_is_not_square(self, rows, columns):
    with self.assertRaises(AssertionError):
      views.draw(jax.random.key(0), np.ones((rows, columns), bool))


class PromptIdsTest(chex.TestCase):
  PROMPTS = ((1, 2), (1,), (1, 2), (2, 1), (1,), (1, 2, 3))

  @chex.variants(with_jit=True, without_jit=True)
  def test_equal_where_prompts_are_equal_and_nowhere_else(self):
    ids = self.variant(views.prompt_ids)(*padded(self.PROMPTS))
    self.assertEqual(ids.tolist(), [0, 1, 0, 3, 1, 5])
    self.assertEqual(ids.dtype, np.int32)

  @chex.variants(with_jit=True, without_jit=True)
  def test_what_follows_the_prompt_does_not_matter(self):
    tokens, mask = padded(self.PROMPTS)
    said = JUNK + np.arange(tokens.size, dtype=np.int32).reshape(tokens.shape)
    ids = self.variant(views.prompt_ids)(np.where(mask, tokens, said), mask)
    self.assertEqual(ids.tolist(), [0, 1, 0, 3, 1, 5])

  def test_refuses(self):
    tokens, mask = padded(self.PROMPTS)
    for wrong in (
      (tokens, mask[:1]),
      (tokens, mask[:, :1]),
      (tokens[0], mask[0]),
      (tokens, tokens),
      (tokens.astype(np.float32), mask),
    ):
      with self.assertRaises(AssertionError):
        views.prompt_ids(*wrong)


if __name__ == '__main__':
  absltest.main()
