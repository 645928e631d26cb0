"""The search for the longest that fits."""

from absl.testing import absltest, parameterized

from rlhf_jax.planning import longest


class LongestTest(parameterized.TestCase):
  @parameterized.parameters(
    # From 1536, of which up to 4000 fit: doubled twice, then halved until
    # neighbours are within an eighth.
    (4000, 1536, 2**20, [1536, 3072, 6144, 4608, 3840, 4224], (3840, 4224)),
    (100, 1024, 2**20, [1024, 512, 256, 128, 64, 96, 112, 104], (96, 104)),
    # Nothing fits; one token does, and two do not.
    (0, 8, 2**20, [8, 4, 2, 1], (0, 1)),
    (1, 8, 2**20, [8, 4, 2, 1], (1, 2)),
    # No row may be longer than 10 tokens.
    (50, 4, 10, [4, 8, 10], (10, None)),
    (50, 64, 10, [10], (10, None)),
    (9, 4, 10, [4, 8, 10, 9], (9, 10)),
  )
  def test_lengths_that_are_tried(self, fitting, start, most, tried, found):
    calls = []

    def fits(length):
      calls.append(length)
      return length <= fitting

    self.assertEqual(longest.search(fits, start, most), found)
    self.assertEqual(calls, tried)

  def test_what_is_found_is_within_an_eighth(self):
    for most_that_fit in range(1, 500):
      found, refused = longest.search(lambda n, m=most_that_fit: n <= m, 48)
      self.assertLessEqual(found, most_that_fit)
      self.assertGreater(refused, most_that_fit)
      self.assertLessEqual(refused - found, max(found / 8, 1))


if __name__ == '__main__':
  absltest.main()
