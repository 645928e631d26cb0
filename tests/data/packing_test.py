"""First-fit by hand, and nothing lost or doubled."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import jsonl, packing
from rlhf_jax.data.encoding import Example
from rlhf_jax.types import Demonstration, Prompt

RECORD = Demonstration(Prompt(()), '')


def example(length, index):
  return Example(RECORD, [index], ([index] * (length - 1),), index)


class PackingTest(absltest.TestCase):
  def test_first_row_with_room(self):
    examples = [example(n, i) for i, n in enumerate([6, 5, 4, 3, 2, 7, 3])]
    rows = packing.pack(examples, 10)
    # 6 opens row 0, 5 row 1, 4 closes row 0, 3 and 2 close row 1, 7 opens and
    # the last 3 closes row 2.
    self.assertEqual(
      [[e.index for e in row.examples] for row in rows],
      [[0, 2], [1, 3, 4], [5, 6]],
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
    # Of any two rows the later one's first example did not fit in the earlier.
    for i, earlier in enumerate(rows):
      for later in rows[i + 1 :]:
        first = later.examples[0]
        before = [e for e in earlier.examples if e.index < first.index]
        self.assertGreater(sum(e.length for e in before) + first.length, 64)

  def test_refuses_what_fits_in_no_row(self):
    with self.assertRaisesRegex(
      jsonl.DataError, 'record 1 has 9 tokens and a row holds 8'
    ):
      packing.pack([example(3, 0), example(9, 1)], 8)

  def test_nothing_is_no_rows(self):
    self.assertEmpty(packing.pack([], 8))
