"""Lengths, and how they spread, counted by hand."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import lengths
from rlhf_jax.data.encoding import Example
from rlhf_jax.types import Comparison, Message, Prompt

TWO_TURNS = Prompt((Message('user', 'ab c'), Message('user', 'd')))
RECORDS = [Comparison(TWO_TURNS, ('e', 'f g')), Prompt(TWO_TURNS.messages[1:])]


def assert_lengths(found, prompts, responses, both):
  np.testing.assert_array_equal(found.prompts, prompts)
  np.testing.assert_array_equal(found.responses, responses)
  np.testing.assert_array_equal(found.both, both)


class LengthsTest(absltest.TestCase):
  def test_in_characters_and_words(self):
    found = lengths.text_lengths(RECORDS, len)
    assert_lengths(found, [5, 1], [1, 3], [8, 1])
    found = lengths.text_lengths(RECORDS, lengths.words)
    assert_lengths(found, [3, 1], [1, 2], [5, 1])

  def test_in_tokens(self):
    examples = [
      Example(RECORDS[0], [1, 2, 3], ([4], [5, 6, 7, 8]), 0),
      Example(RECORDS[1], [1], (), 1),
    ]
    found = lengths.token_lengths(examples)
    assert_lengths(found, [3, 1], [1, 4], [7, 1])

  def test_what_is_longer_than_a_limit(self):
    found = lengths.lengths_of([3, 4, 5], [[4], [5], [6]])
    self.assertEqual(lengths.longer_than(found, 4), (4, 1, 2, 3))


class SpreadTest(absltest.TestCase):
  def test_quantiles_lie_on_the_line_between_numbers(self):
    found = lengths.spread(np.array([10, 0, 20, 30, 40]))
    expected = (20.0, 0.0, 10.0, 20.0, 30.0, 38.0, 40.0)
    np.testing.assert_allclose(found, expected)


class HistogramTest(absltest.TestCase):
  def test_bins_double_and_meet(self):
    numbers = np.array([1, 3, 4, 5, 8, 17, 17])
    self.assertEqual(
      lengths.histogram(numbers),
      [(1, 1, 1), (2, 2, 0), (3, 4, 2), (5, 8, 2), (9, 16, 0), (17, 32, 2)],
    )

  def test_zero_has_a_bin_of_its_own(self):
    found = lengths.histogram(np.array([0, 0, 1]))
    self.assertEqual(found, [(0, 0, 2), (1, 1, 1)])
    self.assertEqual(lengths.histogram(np.array([], int)), [])


if __name__ == '__main__':
  absltest.main()
