"""What is kept of a dataset is what encoding gives, and no texts are read."""

import gc
import pathlib
import tempfile
import tracemalloc
import weakref
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import (
  batches,
  collation,
  curriculum,
  encoded,
  encoding,
  jsonl,
  limits,
  orders,
  templates,
  tokens,
)
from rlhf_jax.data.examples import candidates, lengths, weights
from rlhf_jax.storage import files, seals
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Response,
  Sampled,
)

TOKENIZER = tokens.word_level(list('abcdefgh'))
LARGE = tokens.word_level([f'w{i}' for i in range(70_000)])
LIMITS = limits.Limits(
  max_prompt_tokens=4, max_response_tokens=3, overlong=limits.drop
)
PLAIN = templates.PLAIN


def prompt(text):
  return Prompt((Message('user', text),), where=f'f:{len(text)}')


A, B = prompt('a'), prompt('a b c')
LONG = prompt('a b c d e')
DATASETS = {
  'prompts': [A, LONG, B],
  'demonstrations': [
    Demonstration(A, 'b c'),
    Demonstration(B, '\n'),
    Demonstration(LONG, 'b'),
    Demonstration(B, 'b c d e', 0.5),
  ],
  'comparisons': [
    Comparison(A, ('b', 'c d'), 1.5, (2.0, 0.25)),
    Comparison(A, ('b', 'b')),
    Comparison(B, ('b', 'c'), scores=(1.0, 1.0)),
    Comparison(B, ('b', 'c', Response('d', ended=False)), weight=3.0),
    Comparison(LONG, ('b', 'c')),
    Comparison(A, ('c', 'd'), target='e f g'),
  ],
  'ratings': [Rated(A, 'b', (1.0, None, -2.0)), Rated(B, 'c', ())],
  'samples': [
    Sampled(A, ('b', 'b'), (True, False), (2, 1), (0.0, -1.0), (1.0, 2.0)),
    Sampled(B, (Response('c', ids=(3, 4)),), (True,), (2,), (0.0,)),
  ],
}


class Unread(list):
  """Records that nobody may read."""

  def __getitem__(self, place):
    raise AssertionError('a record was read')

  __iter__ = __getitem__


def known(example):
  """An example without its record, and the record's numbers."""
  held = example.held
  names = ('weight', 'margin', 'scores', 'ratings')
  numbers = {name: getattr(held, name, None) for name in names}
  if example.kind is Sampled:
    numbers['scores'] = None  # Nothing reads them in a batch.
  defaults = {'weight': 1.0, 'margin': 0.0, 'ratings': ()}
  return example._replace(held=example.kind), {
    k: defaults.get(k) if v is None else v for k, v in numbers.items()
  }


class EncodedTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.folder = self.root / 'encoded'

  def keep(self, records, tokenizer=TOKENIZER, under=LIMITS):
    encoded.keep(self.folder, records, tokenizer, PLAIN, under)

  @parameterized.parameters(*DATASETS)
  def test_as_it_was_encoded(self, name):
    records = DATASETS[name]
    self.keep(iter(records))
    for view, encode in (
      (encoded.learnable, encoding.encode),
      (encoded.Encoded, encoding.encode_all),
    ):
      examples, counts = encode(records, TOKENIZER, PLAIN, LIMITS)
      found = view(self.folder, records)
      self.assertEqual(list(map(known, found)), list(map(known, examples)))
      self.assertEqual([e.record for e in found], [e.record for e in examples])
      self.assertEqual(found.counts, counts)
      self.assertEqual(lengths(found).tolist(), [e.length for e in examples])
      self.assertEqual(
        candidates(found).tolist(), [len(e.response_ids) for e in examples]
      )
      self.assertEqual(
        weights(found).tolist(),
        [getattr(e.record, 'weight', 1.0) for e in examples],
      )
      self.assertEqual(found[-1], found[len(examples) - 1])
      self.assertEqual(found[1:], [found[i] for i in range(1, len(examples))])

  @parameterized.parameters(*DATASETS)
  def test_batches_are_made_of_it_without_the_records(self, name):
    records = DATASETS[name]
    if name == 'comparisons':
      records = records[:4]  # Some have targets and scores, others not.
      records = [r for r in records if r.scores is None]
    elif name == 'ratings':
      records = records[:1]
    self.keep(records)
    examples, _ = encoding.encode(records, TOKENIZER, PLAIN, LIMITS)
    found = encoded.learnable(self.folder, Unread(records))
    weighted = name == 'demonstrations'
    for one, other in zip(
      *(
        vars(
          collation.collate(some[:], pad_id=0, limits=LIMITS, weighted=weighted)
        ).items()
        for some in (examples, found)
      ),
      strict=True,
    ):
      np.testing.assert_equal(one, other)

  def test_a_second_time_nothing_is_read(self):
    records = DATASETS['comparisons']
    self.keep(records)
    with mock.patch.object(encoding, 'stream', side_effect=AssertionError):
      self.keep(Unread(records))
      found = encoded.learnable(self.folder, Unread(records))
      self.assertEqual(lengths(found).tolist(), [4, 5, 4])
      self.assertEqual(found[0].response_ids, ([1, 9], [2, 3, 9]))

  def test_levels_are_of_records_whose_ids_nobody_reads(self):
    records = DATASETS['comparisons']
    self.keep(records)
    found = encoded.learnable(self.folder, records)
    with mock.patch.object(
      encoded.Encoded, '__getitem__', side_effect=AssertionError
    ):
      by_count = curriculum.Curriculum(
        level=lambda c: int(len(c.responses) > 2), mix=curriculum.uniform
      )
      levels = by_count.members(found)
    # Identical, tied and dropped ones are none of the three that are left.
    self.assertEqual([level.tolist() for level in levels], [[0, 2], [1]])

  @parameterized.parameters((TOKENIZER, 'a b', 2), (LARGE, 'w1 w69999', 4))
  def test_ids_take_as_much_room_as_they_need(self, tokenizer, text, size):
    self.keep([prompt(text)] * 3, tokenizer)
    found = encoded.Encoded(self.folder, [])
    self.assertEqual(found[2].prompt_ids, tokenizer.encode(text))
    self.assertEqual((self.folder / 'ids').stat().st_size, 3 * 2 * size)

  def test_few_records_are_held_at_a_time(self):
    alive, most = 0, 0

    def gone():
      nonlocal alive
      alive -= 1

    def records():
      nonlocal alive, most
      for number in range(20_000):
        said = Response('abcdefgh'[number % 8])
        weakref.finalize(said, gone)
        alive += 1
        most = max(most, alive)
        yield Demonstration(A, said)

    self.keep(records())
    self.assertLen(encoded.learnable(self.folder, []), 20_000)
    self.assertLess(most, 5 * encoding.CHUNK)

  @parameterized.parameters('ids', 'ends', 'examples', encoded.FACTS)
  def test_a_damaged_file_is_told(self, name):
    self.keep(DATASETS['comparisons'])
    content = bytearray((self.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (self.folder / name).write_bytes(content)
    with self.assertRaisesRegex(
      seals.DamagedError, f'^{self.folder}/{name} .*; delete {self.folder}, and'
    ):
      self.keep(DATASETS['comparisons'])

  def test_whole_or_not_at_all(self):
    def records():
      yield A
      raise KeyboardInterrupt

    with self.assertRaises(KeyboardInterrupt):
      self.keep(records())
    self.assertEmpty(list(self.root.iterdir()))

  def test_a_disk_that_is_full_is_told(self):
    with (
      mock.patch.object(pathlib.Path, 'rename', side_effect=OSError(28, '')),
      self.assertRaisesRegex(files.StorageError, 'encoded: the disk is full'),
    ):
      self.keep([A])

  def test_of_two_at_once_one_is_taken(self):
    def records():
      self.keep([A])  # The other is faster.
      yield A

    self.keep(records())
    (folder,) = self.root.iterdir()
    self.assertLen(encoded.Encoded(folder, []), 1)

  @parameterized.parameters(
    (encoded.learnable, [Comparison(A, ('b', 'b'))], '1 identical response'),
    (encoded.Encoded, [LONG], '1 dropped prompt'),
  )
  def test_nothing_left_is_told(self, view, records, said):
    self.keep(records)
    with self.assertRaisesRegex(
      jsonl.DataError, f'nothing is left of 1 record, the first at f:.: {said}'
    ):
      view(self.folder, records)


class MemoryTest(absltest.TestCase):
  def held(self, count):
    """Bytes, and bytes at most, of the batches of three epochs of rows."""
    with tempfile.TemporaryDirectory() as folder:
      kept = pathlib.Path(folder) / 'encoded'
      rows = (
        Demonstration(A, ' '.join('ab'[: 1 + k % 2])) for k in range(count)
      )
      encoded.keep(kept, rows, TOKENIZER, PLAIN, LIMITS)
      tracemalloc.start()
      try:
        made = batches.Batches(
          encoded.learnable(kept, Unread()),
          batch_size=8,
          seed=0,
          pad_id=TOKENIZER.pad_id,
          limits=LIMITS,
          order=orders.of_like_length,
        )
        for epoch in range(3):
          self.assertEqual(made[epoch * count // 8].tokens.shape[0], 8)
        gc.collect()
        return np.array(tracemalloc.get_traced_memory())
      finally:
        tracemalloc.stop()

  def test_a_row_is_a_few_numbers_in_memory(self):
    few, many = 2_000, 12_000
    now, most = (self.held(many) - self.held(few)) / (many - few)
    # Its length (4), candidates (4), weight (8), and its place in three epochs.
    self.assertLess(now, 4 + 4 + 8 + 3 * 8 + 1)
    # What is sorted meanwhile, eight bytes each.
    self.assertLess(most, now + 10 * 8)


if __name__ == '__main__':
  absltest.main()
