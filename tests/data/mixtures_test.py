"""Mixtures: shares by hand, and what a training draws of each dataset."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import (
  batches,
  encoding,
  jsonl,
  limits,
  mixtures,
  packing,
  templates,
  tokens,
)
from rlhf_jax.types import Demonstration, Message, Prompt, values

WORDS = [f'w{i}' for i in range(60)]
TOKENIZER = tokens.word_level(WORDS)
LIMITS = limits.Limits(max_prompt_tokens=4, max_response_tokens=4)


def examples(count):
  """Demonstration i says word i."""
  records = [
    Demonstration(Prompt((Message('user', word),)), word)
    for word in WORDS[:count]
  ]
  return encoding.encode(records, TOKENIZER, templates.PLAIN, LIMITS)[0]


class SharesTest(parameterized.TestCase):
  @parameterized.parameters(
    ({}, [0.8, 0.2]),
    ({'weights': {'b': 4.0}}, [0.5, 0.5]),
    ({'temperature': 2.0}, [2 / 3, 1 / 3]),  # √400 to √100.
    ({'temperature': 1e9}, [0.5, 0.5]),
    ({'weights': {'a': 0.3, 'b': 0.7}, 'temperature': np.inf}, [0.3, 0.7]),
    ({'weights': {'a': 0.25}, 'temperature': 2.0}, [1 / 3, 2 / 3]),
  )
  def test_by_size_temperature_and_weight(self, given, expected):
    mixture = mixtures.Mixture(**given)
    found = mixture.shares({'a': 400, 'b': 100}, rows=50)
    np.testing.assert_allclose(found, expected, rtol=1e-6)

  def test_what_epochs_limit_goes_to_the_others(self):
    # Of 100 rows 'a' may give 10 and 'b' 30; 'c' wants as much as either.
    mixture = mixtures.Mixture(temperature=1e9, epochs=2.0)
    found = mixture.shares({'a': 5, 'b': 15, 'c': 500}, rows=100)
    np.testing.assert_allclose(found, [0.1, 0.3, 0.6], rtol=1e-6)

  def test_a_limit_that_is_met_later_counts_too(self):
    # A third each; 'a' gives 0.1, then 'b' is above its 0.4 of the 0.45 due.
    mixture = mixtures.Mixture(temperature=1e9, epochs=1.0)
    found = mixture.shares({'a': 10, 'b': 40, 'c': 900}, rows=100)
    np.testing.assert_allclose(found, [0.1, 0.4, 0.5], rtol=1e-6)

  def test_all_that_there_is(self):
    mixture = mixtures.Mixture(epochs=1.0)
    found = mixture.shares({'a': 30, 'b': 70}, rows=100)
    np.testing.assert_allclose(found, [0.3, 0.7], rtol=1e-6)

  @parameterized.parameters(
    ({'weights': {'x': 1.0}}, "weights 'x', which .* it reads a, b"),
    ({'epochs': 1.5}, '100 rows .* 1.5 times .* a, b is 90; give fewer steps'),
  )
  def test_refuses(self, given, message):
    with self.assertRaisesRegex(jsonl.DataError, message):
      mixtures.Mixture(**given).shares({'a': 20, 'b': 40}, rows=100)

  def test_refuses_what_is_empty(self):
    with self.assertRaisesRegex(jsonl.DataError, "nothing is left of 'b'"):
      mixtures.Mixture().shares({'a': 20, 'b': 0}, rows=100)

  @parameterized.parameters({'temperature': 0.0}, {'epochs': -1.0})
  def test_refuses_values(self, **given):
    with self.assertRaises(values.ValueRuleError):
      mixtures.Mixture(**given)


class BatchesTest(absltest.TestCase):
  SIZES = {'a': 12, 'b': 40}

  def drawn(self, mixture, steps):
    """[steps, rows] the examples of each step's batch, by index."""
    found = examples(52)
    subject = batches.Batches(
      found,
      batch_size=8,
      seed=0,
      pad_id=TOKENIZER.pad_id,
      limits=LIMITS,
      curriculum=mixture.placed(found, self.SIZES, 8 * steps),
      steps=steps,
    )
    return np.stack([subject.indices(step) for step in range(steps)])

  def test_every_batch_has_the_shares(self):
    drawn = self.drawn(mixtures.Mixture(weights={'a': 10.0}), 40)
    # 10 · 12 to 40: six of eight are of the first twelve.
    np.testing.assert_array_equal((drawn < 12).sum(1), 6)
    for first, size in ((0, 12), (12, 40)):
      own = drawn[(drawn >= first) & (drawn < first + size)]
      counts = np.bincount(own - first, minlength=size)
      self.assertLessEqual(np.ptp(counts), 1)  # Epoch after epoch.

  def test_no_dataset_comes_more_often_than_its_epochs(self):
    drawn = self.drawn(mixtures.Mixture(weights={'a': 10.0}, epochs=2.0), 10)
    counts = np.bincount(drawn.reshape(-1), minlength=52)
    self.assertLessEqual(counts.max(), 2)
    self.assertEqual(counts[:12].sum(), 24)
    self.assertEqual(counts.sum(), 80)

  def test_examples_that_were_dropped_count_for_nothing(self):
    kept = [e for e in examples(52) if e.index % 2]
    placed = mixtures.Mixture().placed(kept, self.SIZES, 80)
    self.assertEqual([len(own) for own in placed.levels], [6, 20])
    index = [[kept[i].index for i in own] for own in placed.levels]
    self.assertEqual(index, [list(range(1, 12, 2)), list(range(13, 52, 2))])
    np.testing.assert_allclose(placed.shares, [6 / 26, 20 / 26])

  def test_refuses_packed_rows(self):
    rows = packing.pack(examples(52), 16)
    with self.assertRaisesRegex(jsonl.DataError, 'leave out row_length'):
      mixtures.Mixture().placed(rows, self.SIZES, 80)


if __name__ == '__main__':
  absltest.main()
