"""A judge's agreement with labels, and its bias by order."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import agreement, judges, orders
from rlhf_jax.types import Message, Prompt


def prompts(count):
  return [Prompt((Message('user', f'q{i}'),)) for i in range(count)]


class AgreementTest(absltest.TestCase):
  def test_a_table_by_hand(self):
    # Right twice, right once, wrong twice, a tie where people saw one.
    credits = np.array([[1, 1], [1, 0], [1, 1], [0.5, 0.5]], float)
    labels = np.array([1, 1, 0, 0.5])
    found = agreement.measure(credits, labels, prompts(4))
    self.assertAlmostEqual(found.accuracy.value, (1 + 0.5 + 0) / 3)
    self.assertAlmostEqual(found.same.value, 3 / 4)
    # Shown first it wins, as of pairs: ½, 1, ½, ½.
    self.assertAlmostEqual(found.first.value, 2.5 / 4)
    self.assertEqual((found.count, found.ties, found.unread), (4, 1, 0))
    # The table of both orders, and of the pairs turned round: 16 entries.
    table = np.array([[3, 0, 3], [0, 4, 0], [3, 0, 3]]) / 16
    chance = table.sum(0) @ table.sum(1)
    expected = (np.trace(table) - chance) / (1 - chance)
    self.assertAlmostEqual(found.kappa.value, expected)

  def test_without_ties_kappa_is_twice_the_accuracy_less_one(self):
    rng = np.random.default_rng(0)
    credits, labels = rng.integers(2, size=(60, 2)), rng.integers(2, size=60)
    found = agreement.measure(credits.astype(float), labels, prompts(60))
    self.assertAlmostEqual(found.kappa.value, 2 * found.accuracy.value - 1)
    self.assertLess(found.kappa.low, found.kappa.value)
    self.assertLess(found.kappa.value, found.kappa.high)

  def test_turning_a_pair_round_changes_nothing(self):
    rng = np.random.default_rng(1)
    credits, labels = rng.choice([0, 0.5, 1], (40, 2)), rng.choice(3, 40) / 2
    once = agreement.measure(credits, labels, prompts(40))
    turned = agreement.measure(1 - credits[:, ::-1], 1 - labels, prompts(40))
    for field in ('accuracy', 'kappa', 'same', 'first'):
      self.assertAlmostEqual(
        getattr(once, field).value, getattr(turned, field).value, msg=field
      )

  def test_what_has_no_verdict_is_counted(self):
    credits = np.array([[1, 1], [np.nan, 1], [0, np.nan]])
    found = agreement.measure(credits, np.array([1.0, 1.0, 1.0]), prompts(3))
    self.assertEqual((found.count, found.unread), (1, 2))
    with self.assertRaisesRegex(ValueError, 'nothing to agree on'):
      agreement.measure(credits[1:], np.ones(2), prompts(2))

  def test_who_always_takes_the_first(self):
    def first(prompts, a, b):
      return np.ones(len(a))

    asked, a, b = prompts(8), ['x'] * 8, ['y'] * 8
    credits = orders.both(first, asked, a, b)
    found = agreement.measure(credits, np.array([1.0, 0.0] * 4), asked)
    self.assertEqual(found.same.value, 0.0)
    self.assertEqual(found.first.value, 1.0)
    self.assertEqual(found.accuracy.value, 0.5)
    self.assertEqual(orders.averaged(first)(asked, a, b).tolist(), [0.5] * 8)
    for order in (orders.averaged, orders.strict, orders.drawn):
      judge = order(lambda prompts, x, y: [2] * len(prompts))
      with self.assertRaisesRegex(ValueError, 'gave 2 for a pair of resp'):
        judge(asked, a, b)
    self.assertEqual(orders.strict(first)(asked, a, b).tolist(), [0.5] * 8)


class OrdersTest(absltest.TestCase):
  def test_strict_by_hand(self):
    said = {('x', 'y'): [1.0, 1.0, np.nan], ('y', 'x'): [0.0, 0.4, 0.0]}

    def judge(prompts, a, b):
      return np.array(said[a[0], b[0]])

    asked, a, b = prompts(3), ['x'] * 3, ['y'] * 3
    strict, mean = orders.strict(judge), orders.averaged(judge)
    np.testing.assert_array_equal(strict(asked, a, b), [1.0, 1.0, np.nan])
    np.testing.assert_allclose(mean(asked, a, b), [1.0, 0.8, np.nan])

  def test_a_drawn_order_is_the_pairs_own(self):
    shown = []

    def judge(prompts, a, b):
      shown.append(list(zip(a, b, strict=True)))
      return judges.longer(prompts, a, b)

    asked = prompts(200)
    a, b = ['long one'] * 200, ['short'] * 200
    drawn = orders.drawn(judge)
    np.testing.assert_array_equal(drawn(asked, a, b), np.ones(200))
    np.testing.assert_array_equal(drawn(asked, b, a), np.zeros(200))
    self.assertEqual(shown[0], shown[1])
    first = sum(pair[0] == 'long one' for pair in shown[0])
    self.assertBetween(first, 70, 130)  # 100 ± 4 standard errors.


if __name__ == '__main__':
  absltest.main()
