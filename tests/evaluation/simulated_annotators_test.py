"""Pools of judges, and labels that err."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import simulated_annotators as annotators
from rlhf_jax.types import Message, Prompt

PROMPTS = [Prompt((Message('user', f'q{i}'),)) for i in range(800)]
A, B = ['a'] * 800, ['b'] * 800


def always(credit):
  return lambda prompts, a, b: np.full(len(a), credit)


class AnnotatorsTest(absltest.TestCase):
  def test_a_prompt_has_its_annotator_wherever_it_stands(self):
    pool = annotators.pool([always(0.0), always(0.25), always(1.0)])
    credits = pool(PROMPTS, A, B)
    np.testing.assert_array_equal(pool(PROMPTS[::-1], A, B), credits[::-1])
    for member in (0.0, 0.25, 1.0):  # A third each, ± 4 standard errors.
      self.assertBetween(np.sum(credits == member), 213, 320)

  def test_a_quarter_is_turned_round(self):
    asked = []

    def first(prompts, a, b):
      asked.extend(prompts)
      return np.ones(len(a))

    flipped = annotators.with_flips(first, flips=0.25)
    credits = flipped(PROMPTS, A, B)
    # 200 of 800 ± 3 standard errors; half of all are not asked.
    self.assertBetween(np.sum(credits == 0.0), 163, 237)
    self.assertBetween(len(asked), 357, 443)

  def test_a_coin_says_the_same_of_both_orders(self):
    coins = annotators.with_flips(always(0.5), flips=0.5)
    credits = coins(PROMPTS, A, B)
    np.testing.assert_array_equal(coins(PROMPTS, B, A), 1.0 - credits)
    self.assertEqual(set(credits.tolist()), {0.0, 1.0})

  def test_what_cannot_be_is_a_sentence(self):
    with self.assertRaisesRegex(ValueError, 'from 0 to 0.5, got 0.6'):
      annotators.with_flips(always(1.0), flips=0.6)
    with self.assertRaisesRegex(ValueError, 'at least one judge'):
      annotators.pool([])


if __name__ == '__main__':
  absltest.main()
