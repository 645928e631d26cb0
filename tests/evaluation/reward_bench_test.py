"""The sections of RewardBench, and how their subsets are weighted."""

import math

from absl.testing import absltest

from rlhf_jax.evaluation import reward_bench
from rlhf_jax.evaluation.agreement import Agreement
from rlhf_jax.evaluation.statistics import Estimate


def right(value, error=0.0):
  accuracy = Estimate(value, error, value, value)
  return Agreement(*[accuracy] * 4, count=1, ties=0, unread=0)


class SectionsTest(absltest.TestCase):
  def test_all_pairs_are_those_of_the_paper(self):
    weights = {k: v for part in reward_bench.SECTIONS.values()
               for k, v in part.items()}  # fmt: skip
    self.assertLen(weights, 23)
    # 2,985 pairs; the 447 of mathematics count as the 984 of code.
    self.assertEqual(sum(weights.values()) - 984 + 447, 2985)
    sizes = [sum(part.values()) for part in reward_bench.SECTIONS.values()]
    self.assertEqual(sizes, [358, 456, 740, 2 * 984])

  def test_a_section_is_weighted_by_its_subsets(self):
    found = reward_bench.sections(
      {
        'all': right(0.1),
        'math-prm': right(0.5, 0.02),
        'hep-cpp': right(1.0, 0.03),
        'hep-go': right(0.0, 0.01),
      }
    )
    self.assertEqual(list(found), ['Reasoning'])
    total = 984 + 164 + 164
    self.assertAlmostEqual(found['Reasoning'].value, (984 * 0.5 + 164) / total)
    error = math.sqrt((984 * 0.02) ** 2 + (164 * 0.03) ** 2 + 1.64**2) / total
    self.assertAlmostEqual(found['Reasoning'].standard_error, error)
    self.assertAlmostEqual(
      found['Reasoning'].high, found['Reasoning'].value + 1.959964 * error
    )

  def test_all_is_the_mean_of_four(self):
    subsets = {
      'alpacaeval-easy': right(1.0),
      'mt-bench-hard': right(0.5),
      'donotanswer': right(0.25),
      'math-prm': right(0.25),
    }
    self.assertAlmostEqual(reward_bench.sections(subsets)['all'].value, 0.5)
    self.assertLen(reward_bench.missing(subsets), 19)
    del subsets['donotanswer']
    self.assertNotIn('all', reward_bench.sections(subsets))
    self.assertNotIn('refusals-dangerous', reward_bench.missing(subsets))

  def test_other_data_have_none(self):
    self.assertEqual(reward_bench.sections({'all': right(1.0)}), {})
    self.assertEqual(reward_bench.missing({'Natural': right(1.0)}), [])


if __name__ == '__main__':
  absltest.main()
