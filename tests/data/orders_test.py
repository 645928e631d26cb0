"""Orders: every example once, the same everywhere, batches of like length."""

import functools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import orders


def epoch(count, *, number=0, seed=0, batch_size=4, lengths=None):
  lengths = np.arange(count) if lengths is None else lengths
  return orders.Epoch(lengths, batch_size, number, seed)


class AtRandomTest(absltest.TestCase):
  def test_the_order_is_the_same_on_every_machine(self):
    # Written down once; numpy promises that these bits never change.
    first, second = (
      orders.at_random(epoch(5, seed=3, number=number)) for number in (0, 1)
    )
    np.testing.assert_array_equal(first, [1, 2, 4, 3, 0])
    np.testing.assert_array_equal(second, [3, 4, 0, 2, 1])

  def test_first_places_are_uniform(self):
    firsts = [orders.at_random(epoch(5, seed=seed))[0] for seed in range(2000)]
    # Each 400 of 2000, with standard deviation 17.9.
    np.testing.assert_allclose(np.bincount(firsts), 400, atol=5 * 17.9)


class OfLikeLengthTest(parameterized.TestCase):
  @parameterized.product(
    count=(1, 7, 64, 65), batch_size=(1, 4, 9), number=(0, 1, 5)
  )
  def test_every_example_once(self, count, batch_size, number):
    lengths = np.random.default_rng(0).integers(1, 50, count)
    found = orders.of_like_length(
      epoch(count, number=number, batch_size=batch_size, lengths=lengths),
      window=16,
    )
    self.assertEqual(sorted(found), list(range(count)))

  @parameterized.parameters(0, 1, 2, 3)
  def test_batches_are_runs_of_the_sorted_lengths(self, number):
    # Length i for example i, one window: in the steps that lie in this epoch
    # alone, the lengths of a batch follow one another.
    count, size = 23, 4
    found = orders.of_like_length(epoch(count, number=number), window=count)
    begins = number * count
    lead = -begins % size
    whole = [found[i : i + size] for i in range(lead, count - size + 1, size)]
    for batch in whole:
      np.testing.assert_array_equal(np.diff(batch), 1)
    self.assertLen(whole, (count - lead) // size)
    firsts = [batch[0] for batch in whole]
    self.assertNotEqual(firsts, sorted(firsts))

  def test_no_batch_joins_short_and_long_ones_of_two_windows(self):
    lengths = np.tile([1, 100], 48)
    order = functools.partial(orders.of_like_length, window=12)
    for seed in range(20):
      found = order(epoch(96, seed=seed, batch_size=8, lengths=lengths))
      spread = np.ptp(lengths[found].reshape(-1, 8), axis=1)
      # Twelve of a window have both lengths, so that one batch in it may too.
      self.assertLessEqual((spread > 0).sum(), 8)

  def test_seeds_and_epochs_differ(self):
    found = {
      tuple(orders.of_like_length(epoch(64, seed=seed, number=number)))
      for seed in range(3)
      for number in range(3)
    }
    self.assertLen(found, 9)

  def test_longest_and_shortest_batches_come_at_any_time(self):
    firsts = [
      orders.of_like_length(epoch(40, seed=seed))[0] // 4 for seed in range(800)
    ]
    # Each of ten batches 80 times, with standard deviation 8.5.
    np.testing.assert_allclose(np.bincount(firsts), 80, atol=5 * 8.5)

  def test_padding_of_real_lengths(self):
    # Lognormal lengths: padded to a batch's longest, at random about half is
    # padding, and of a window of 1024 less than a tenth.
    lengths = np.random.default_rng(0).lognormal(5.0, 0.7, 4096).astype(int) + 1
    shares = []
    for order in (orders.at_random, orders.of_like_length):
      rows = lengths[order(epoch(4096, batch_size=16, lengths=lengths))]
      rows = rows.reshape(-1, 16)
      shares.append(1 - rows.sum() / (16 * rows.max(1).sum()))
    self.assertGreater(shares[0], 0.45)
    self.assertLess(shares[1], 0.1)


if __name__ == '__main__':
  absltest.main()
