"""Examples with more beside their ids, and numbers of all of them."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import examples
from rlhf_jax.data.examples import Changed, Example
from rlhf_jax.types import Comparison, Demonstration, Prompt

ASKED = Prompt(())
MADE = [
  Example(Demonstration(ASKED, 'a', 0.5), [1, 2], ([3],), 4),
  Example(Comparison(ASKED, ('a', 'b')), [1], ([2], [3, 4, 5]), 7),
  Example(ASKED, [1, 2, 3], (), 9),
]


class ColumnsTest(absltest.TestCase):
  def test_numbers_of_every_example(self):
    for rows in (MADE[:2], Changed(MADE[:2], lambda example: example)):
      np.testing.assert_array_equal(examples.lengths(rows), [3, 4])
      np.testing.assert_array_equal(examples.indices(rows), [4, 7])
      np.testing.assert_array_equal(examples.candidates(rows), [1, 2])
      np.testing.assert_array_equal(examples.weights(rows), [0.5, 1.0])

  def test_a_prompt_has_a_weight_of_one_and_no_response(self):
    np.testing.assert_array_equal(examples.weights(MADE[2:]), [1.0])
    np.testing.assert_array_equal(examples.candidates(MADE[2:]), [0])


class ChangedTest(absltest.TestCase):
  def test_changes_what_is_asked_for_and_no_more(self):
    changed = []

    def change(example):
      changed.append(example.index)
      return example._replace(reference_logps=(float(example.index),))

    rows = Changed(MADE, change)
    self.assertLen(rows, 3)
    self.assertEqual(rows[1].reference_logps, (7.0,))
    self.assertEqual(rows[1].prompt_ids, [1])
    self.assertEqual(changed, [7, 7])
    self.assertEqual([e.index for e in rows[1:]], [7, 9])


if __name__ == '__main__':
  absltest.main()
