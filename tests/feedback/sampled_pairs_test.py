"""What pairs out of samples share, against counts in exact fractions."""

import fractions
import math

from absl.testing import absltest

from rlhf_jax.feedback import sampled_pairs


class LeastCountTest(absltest.TestCase):
  def test_is_that_of_exact_fractions(self):
    for count in range(1, 65):
      for hundredths in range(101):
        share = fractions.Fraction(hundredths, 100)
        self.assertEqual(
          sampled_pairs.least_count(hundredths / 100, count),
          math.ceil(share * count),
          f'{share} of {count}',
        )


if __name__ == '__main__':
  absltest.main()
