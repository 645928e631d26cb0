"""Batches by step: order, epochs, hosts and resuming."""

import functools
import itertools
import threading

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.data import (
  batches,
  encoding,
  jsonl,
  limits,
  orders,
  templates,
  tokens,
)
from rlhf_jax.data.packing import pack
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

LIKE = functools.partial(orders.of_like_length, window=5)
WORDS = [f'w{i}' for i in range(30)]
TOKENIZER = tokens.word_level(WORDS)
LIMITS = limits.Limits(
  max_prompt_tokens=6, max_response_tokens=5, buckets=(4, 7)
)


def prompts(count):
  """Prompt i says word i, some of them over and over."""
  return [
    Prompt((Message('user', ' '.join([WORDS[i]] * (1 + i % 3))),))
    for i in range(count)
  ]


def demonstrations(count):
  return [
    Demonstration(prompt, ' '.join(WORDS[i : i + 1 + i % 7]))
    for i, prompt in enumerate(prompts(count))
  ]


def comparisons(count):
  return [
    Comparison(d.prompt, (d.response, 'w0 w0'), float(i))
    for i, d in enumerate(demonstrations(count))
  ]


def make(drawn, batch_size=4, seed=0, **options):
  examples, _ = encoding.encode(drawn, TOKENIZER, templates.PLAIN, LIMITS)
  return batches.Batches(
    examples,
    batch_size=batch_size,
    seed=seed,
    pad_id=TOKENIZER.pad_id,
    limits=LIMITS,
    **options,
  )


class OrderTest(parameterized.TestCase):
  @parameterized.product(
    count=(1, 3, 10, 16),
    batch_size=(1, 4, 7),
    order=(orders.at_random, LIKE),
  )
  def test_every_epoch_has_every_example_once(self, count, batch_size, order):
    subject = make(prompts(count), batch_size, order=order)
    steps = -(-3 * count // batch_size)
    drawn = np.concatenate([subject[step].index for step in range(steps)])
    for epoch in range(3):
      places = drawn[epoch * count : (epoch + 1) * count]
      self.assertEqual(sorted(places), list(range(count)))

  def test_epochs_and_seeds_differ(self):
    def first_epochs(seed):
      subject = make(prompts(16), 16, seed)
      return [tuple(subject[step].index) for step in range(3)]

    orders = [order for seed in range(4) for order in first_epochs(seed)]
    self.assertLen(set(orders), 12)
    self.assertNotIn(tuple(range(16)), orders)

  def test_a_step_may_be_asked_for_again_and_in_any_order(self):
    forwards = make(demonstrations(10))
    backwards = make(demonstrations(10))
    expected = [forwards[step] for step in range(6)]
    actual = [backwards[step] for step in reversed(range(6))]
    chex.assert_trees_all_equal(expected, actual[::-1])
    chex.assert_trees_all_equal(expected[2], forwards[2])

  def test_the_order_does_not_depend_on_the_kind(self):
    subjects = [
      make(make_records(9)) for make_records in (prompts, comparisons)
    ]
    for step in range(5):
      asked, compared = (subject[step] for subject in subjects)
      np.testing.assert_array_equal(asked.index, compared.margins)

  def test_there_is_no_step_before_the_first(self):
    with self.assertRaisesRegex(IndexError, 'step -1'):
      make(prompts(3))[-1]


class ContentTest(parameterized.TestCase):
  def test_rows_are_the_examples_drawn(self):
    records = demonstrations(12)
    subject = make(records)
    for step in range(6):
      batch = subject[step]
      for row, place in enumerate(subject.indices(step)):
        said = batch.tokens[row][batch.attention_mask[row]]
        answer = batch.tokens[row][batch.response_mask[row]]
        words = records[place].response.split()
        expected = [WORDS.index(word) for word in words] + [TOKENIZER.eos_id]
        self.assertEqual(list(answer), expected[:5])
        self.assertEqual(len(said) - len(answer), 1 + place % 3)

  def test_columns_are_those_of_the_longest_row(self):
    subject = make(demonstrations(12))
    seen = set()
    for step in range(12):
      batch = subject[step]
      longest = batch.attention_mask.sum(-1).max()
      columns = batch.tokens.shape[1]
      self.assertEqual(columns, next(c for c in (4, 7, 11) if c >= longest))
      seen.add(columns)
    self.assertEqual(seen, {7, 11})

  def test_lists_of_all_lengths_have_the_room_of_the_longest(self):
    lists = [
      Comparison(prompt, tuple(WORDS[: 1 + i % 4]))
      for i, prompt in enumerate(prompts(8))
    ]
    subject = make(lists, 2)
    for step in range(8):
      batch = subject[step]
      self.assertEqual(batch.tokens.shape[:2], (2, 4))
      np.testing.assert_array_equal(
        batch.candidate_mask.sum(-1), 1 + subject.indices(step) % 4
      )

  def test_a_dataset_smaller_than_a_batch_wraps_around(self):
    index = make(prompts(3), 8)[0].index
    self.assertEqual(sorted(index[:3]), [0, 1, 2])
    self.assertEqual(sorted(index[3:6]), [0, 1, 2])
    self.assertLen(set(index[6:]), 2)

  def test_a_prompt_that_comes_again_in_a_batch_counts_on(self):
    plain = make(prompts(3), batch_size=8)[0].index
    told = make(prompts(3), batch_size=8, records=10)[0].index
    np.testing.assert_array_equal(told % 10, plain)
    self.assertLen(set(told.tolist()), 8)
    self.assertEqual(
      sorted(told.tolist())[:3], [0, 1, 2]
    )  # The first time as ever.
    self.assertLess(told.max(), 30)
    whole = make(prompts(30), batch_size=8, records=30)
    for step in range(3):
      np.testing.assert_array_equal(
        whole[step].index, make(prompts(30), batch_size=8)[step].index
      )

  def test_packs_are_drawn_like_examples(self):
    examples, _ = encoding.encode(
      demonstrations(14), TOKENIZER, templates.PLAIN, LIMITS
    )
    packs = pack(examples, 16)
    subject = batches.Batches(
      packs, batch_size=len(packs), seed=0, pad_id=0, limits=LIMITS
    )
    batch = subject[0]
    self.assertEqual(batch.tokens.shape, (len(packs), 16))
    drawn = [
      list(tokens_[segments == segment])
      for tokens_, segments in zip(batch.tokens, batch.segment_ids, strict=True)
      for segment in range(1, segments.max() + 1)
    ]
    whole = [e.prompt_ids + e.response_ids[0] for e in examples]
    self.assertEqual(sorted(drawn), sorted(whole))

  def test_refuses_an_empty_dataset(self):
    with self.assertRaisesRegex(jsonl.DataError, 'no examples to make batches'):
      make([])


class HostsTest(parameterized.TestCase):
  @parameterized.product(
    records=(prompts, demonstrations, comparisons),
    hosts=(1, 2, 4),
    order=(orders.at_random, LIKE),
  )
  def test_rows_of_all_hosts_are_the_global_batch(self, records, hosts, order):
    whole = make(records(10), order=order)
    parts = [
      make(records(10), order=order, rows=rows)
      for rows in np.split(np.arange(4), hosts)
    ]
    for step in range(6):
      together = [part[step] for part in parts]
      self.assertLen(together[0].tokens, 4 // hosts)
      joined = jax.tree.map(lambda *x: np.concatenate(x), *together)
      chex.assert_trees_all_equal(joined, whole[step])

  def test_prompts_that_come_again_count_on_wherever_they_are_made(self):
    whole = make(prompts(3), 8, records=10)[0].index
    for rows in ([0, 1, 2, 3], [5], [4, 7]):
      part = make(prompts(3), 8, records=10, rows=np.array(rows))[0].index
      np.testing.assert_array_equal(part, whole[rows])


class ResumeTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 5)
  def test_starts_at_any_step(self, start):
    subject = make(comparisons(10))
    resumed = itertools.islice(subject.starting_at(start), 6)
    chex.assert_trees_all_equal(
      list(resumed), [subject[step] for step in range(start, start + 6)]
    )

  def test_leaves_no_threads_behind(self):
    before = set(threading.enumerate())
    made = make(prompts(10)).starting_at(0)
    next(made)
    begun = set(threading.enumerate()) - before
    self.assertNotEmpty(begun)
    made.close()
    for thread in begun:
      thread.join(5.0)
      self.assertFalse(thread.is_alive())

  def test_a_fault_comes_out_where_it_is_met(self):
    one, other = comparisons(2)
    subject = make([one, other._replace(scores=(1.0, 0.0))], 2)
    with self.assertRaisesRegex(jsonl.DataError, 'has scores and record'):
      next(subject.starting_at(0))
