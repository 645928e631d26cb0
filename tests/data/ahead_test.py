"""Results come in order, and few are ahead of who takes them."""

import threading
import time

from absl.testing import absltest

from rlhf_jax.data import ahead


class AheadTest(absltest.TestCase):
  def test_in_order_whichever_is_done_first(self):
    def work(item):
      time.sleep(0.02 * (item % 2 == 0))
      return item * item

    self.assertEqual(
      list(ahead.ahead(work, range(7))), [i * i for i in range(7)]
    )

  def test_two_are_worked_on_at_a_time(self):
    both = threading.Barrier(2, timeout=5)
    self.assertLen(list(ahead.ahead(lambda _: both.wait(), range(4))), 4)

  def test_no_more_are_taken_than_are_needed(self):
    taken = []
    results = ahead.ahead(lambda item: item, map(taken.append, range(99)))
    for done in range(3):
      next(results)
      self.assertLen(taken, ahead.THREADS + 1 + done)
    results.close()

  def test_an_error_is_in_its_place(self):
    def work(item):
      if item == 3:
        raise ValueError('three')
      return item

    results = ahead.ahead(work, range(9))
    self.assertEqual([next(results) for _ in range(3)], [0, 1, 2])
    with self.assertRaisesRegex(ValueError, 'three'):
      next(results)

  def test_chunks(self):
    self.assertEqual(
      list(ahead.chunks('abcde', 2)), [['a', 'b'], ['c', 'd'], ['e']]
    )
    self.assertEmpty(list(ahead.chunks([], 2)))


if __name__ == '__main__':
  absltest.main()
