"""Best-fit by hand, and nothing lost or doubled."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import jsonl, packing
from rlhf_jax.data.encoding import Example
from rlhf_jax.types import Demonstration, Prompt

RECORD = Demonstration(Prompt(()), '')


def example(length, index):
  return Example(RECORD, [index], ([index] * (length - 1),), index)


class PackingTest(absltest.TestCase):
  def test_the_row_with_least_room(self):
    examples = [example(n, i) for i, n in enumerate([6, 5, 4, 3, 2, 7, 3])]
    rows = packing.pack(examples, 10)
    # 7 opens row 0, 6 row 1, 5 row 2; 4 closes row 1, which has least room for
    # it; 3 closes row 0; the other 3 goes to row 2 and 2 closes that.
    self.assertEqual(
      [[e.index for e in row.examples] for row in rows],
      [[5, 3], [0, 2], [1, 6, 4]],
    )
    self.assertEqual([row.length for row in rows], [10, 10, 10])
    self.assertEqual({row.row_length for row in rows}, {10})

  def test_every_example_is_in_one_row_and_no_row_overflows(self):
    lengths = np.random.default_rng(0).integers(2, 40, 300)
    examples = [example(n, i) for i, n in enumerate(lengths)]
    rows = packing.pack(examples, 64)
    found = sorted(e.index for row in rows for e in row.examples)
    self.assertEqual(found, list(range(300)))
    self.assertLessEqual(max(row.length for row in rows), 64)
    # Johnson 1973: at most 11/9 of the fewest rows there can be, and 4.
    self.assertLessEqual(len(rows), 11 / 9 * np.ceil(lengths.sum() / 64) + 4)

  def test_refuses_what_fits_in_no_row(self):
    with self.assertRaisesRegex(
      jsonl.DataError, 'record 1 has 9 tokens and a row holds 8'
    ):
      packing.pack([example(3, 0), example(9, 1)], 8)

  def test_nothing_is_no_rows(self):
    self.assertEmpty(packing.pack([], 8))
