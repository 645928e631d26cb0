"""Names and counts in sentences."""

from absl.testing import absltest

from rlhf_jax.data import names


class AmountsTest(absltest.TestCase):
  def test_one_is_one_and_none_is_not_told(self):
    counts = {
      'tied_scores': 2,
      'empty_responses': 1,
      'dropped_prompts': 0,
      'unscored_responses': None,
      'rows': 1_200,
    }
    self.assertEqual(
      names.amounts(counts), ['2 tied scores', '1 empty response', '1,200 rows']
    )


if __name__ == '__main__':
  absltest.main()
