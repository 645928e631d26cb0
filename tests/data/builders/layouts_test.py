"""Folders of files: which split each makes, and what stands on both sides."""

import gzip
import json
import pathlib
import tempfile
import weakref

from absl.testing import absltest, parameterized

from rlhf_jax.data import formats, jsonl, readers, splits
from rlhf_jax.data.builders import layouts
from rlhf_jax.data.builders.layouts import Layout, Part
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Response,
)

PUBLISHED = Layout(
  (
    Part('one/train.jsonl', 'train', 'one'),
    Part('two/train.jsonl', 'train', 'two'),
    Part('one/test.jsonl', 'test', 'one'),
  ),
  formats.comparisons,
)
TOGETHER = Layout((Part('*.jsonl'),), formats.comparisons)


def pair(said, **more):
  return {'prompt': said, 'chosen': 'good', 'rejected': 'bad'} | more


class LayoutsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def write(self, name, rows):
    path = self.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))

  def read(self, layout):
    return layouts.read(self.root, layout, self.root / 'kept')

  def test_published_splits_are_kept_and_what_is_on_both_sides_counted(self):
    self.write('one/train.jsonl', map(pair, ('Hello!', 'b', 'b')))
    self.write('two/train.jsonl', [pair('c', subset='own')])
    self.write('one/test.jsonl', map(pair, ('hello', 'HELLO', 'd', 'c?')))
    found = self.read(PUBLISHED)
    self.assertEqual(list(found.splits), ['train', 'test'])
    self.assertEqual(
      [
        (record.prompt.text, record.prompt.kind, record.prompt.where)
        for record in found.splits['train']
      ],
      [
        ('Hello!', 'one', 'one/train.jsonl:1'),
        ('b', 'one', 'one/train.jsonl:2'),
        ('b', 'one', 'one/train.jsonl:3'),
        ('c', 'own', 'two/train.jsonl:1'),
      ],
    )
    self.assertLen(found.splits['test'], 4)
    # hello and c, whatever their case and punctuation.
    self.assertEqual(found.on_both_sides, 2)
    self.assertEqual(
      found.notes,
      (
        'one/train.jsonl: read as TRL preference, 3 comparisons',
        'two/train.jsonl: read as TRL preference, 1 comparisons',
        'one/test.jsonl: read as TRL preference, 4 comparisons',
      ),
    )

  def test_what_is_missing_or_left_out_is_told(self):
    same = pair('b') | {'rejected': 'good'}
    self.write('one/train.jsonl', [pair('a'), same])
    self.write('one/test.jsonl', [pair('c')])
    self.assertEqual(
      self.read(PUBLISHED).notes[1:],
      (
        'one/train.jsonl: 1 of 2 left out: the responses are the same text '
        '(first at one/train.jsonl:2)',
        'one/test.jsonl: read as TRL preference, 1 comparisons',
        'not there: two/train.jsonl',
      ),
    )

  @parameterized.parameters(
    ('f.jsonl', TOGETHER), ('one/train.jsonl', PUBLISHED)
  )
  def test_without_a_held_out_split_a_hash_makes_one(self, name, layout):
    self.write(name, [pair(f'question {i // 2}') for i in range(200)])
    found = self.read(layout)
    held_out = {
      f'question {i}'
      for i in range(100)
      if splits.is_held_out(Prompt((Message('user', f'question {i}'),)), 0.1)
    }
    asked = {
      split: {record.prompt.text for record in records}
      for split, records in found.splits.items()
    }
    self.assertEqual(asked['test'], held_out)
    self.assertEmpty(asked['train'] & asked['test'])
    self.assertEqual(found.on_both_sides, 0)
    self.assertIn('split by a hash of what is said first', found.notes[-1])

  def test_a_held_out_split_alone_stays_held_out(self):
    self.write('one/test.jsonl', [pair('a')])
    self.assertEqual(list(self.read(PUBLISHED).splits), ['test'])

  def test_records_are_those_of_the_reader(self):
    self.write('f.jsonl', [pair(f'{i}', margin=i) for i in range(50)])
    found = self.read(TOGETHER).splits
    read = formats.comparisons(self.root / 'f.jsonl')
    self.assertEqual(
      [*found['train'], *found['test']],
      [
        record
        for held_out in (False, True)
        for record in read
        if splits.is_held_out(record, 0.1) == held_out
      ],
    )
    self.assertIsInstance(found['train'][0], Comparison)

  def test_what_is_no_data_and_a_second_copy_are_not_read(self):
    self.write('f.jsonl', map(pair, 'abc'))
    self.write('notes.txt', [])
    content = gzip.compress((self.root / 'f.jsonl').read_bytes())
    (self.root / 'f.jsonl.gz').write_bytes(content)
    layout = Layout((Part('*', 'test'),), formats.comparisons)
    self.assertLen(self.read(layout).splits['test'], 3)

  def test_few_records_are_held_at_a_time(self):
    self.write('f.jsonl', [pair('a')])
    alive, most = 0, 0

    def gone():
      nonlocal alive
      alive -= 1

    @readers.reader
    def read(path):
      del path
      return readers.Stream(records())

    def records():
      nonlocal alive, most
      for number in range(5_000):
        said = Response(f'answer {number}')
        weakref.finalize(said, gone)
        alive += 1
        most = max(most, alive)
        prompt = Prompt((Message('user', f'{number}'),), where='f.jsonl:1')
        yield Demonstration(prompt, said)

    found = self.read(Layout((Part('*.jsonl'),), read))
    self.assertLess(most, 10)
    self.assertEqual(sum(map(len, found.splits.values())), 5_000)
    self.assertGreater(len(found.splits['test']), 400)

  def test_too_few_to_split(self):
    self.write('f.jsonl', [pair('a')])
    with self.assertRaisesRegex(
      jsonl.DataError, '^of 1 records . are left to train on and . to test on'
    ):
      self.read(TOGETHER)

  def test_a_bad_row_is_told_with_its_folder(self):
    self.write('one/train.jsonl', [pair('a'), {'prompt': 'b'}])
    with self.assertRaisesRegex(jsonl.DataError, '^one/train.jsonl:2: '):
      self.read(PUBLISHED)

  def test_no_such_files_and_no_such_folder(self):
    self.write('notes.txt', [])
    with self.assertRaisesRegex(
      jsonl.DataError, f'^{self.root} holds notes.txt; give files$'
    ):
      layouts.first_there(self.root, [PUBLISHED, TOGETHER], 'give files')
    with self.assertRaisesRegex(
      jsonl.DataError, f'^there is no folder {self.root}/none; give files$'
    ):
      layouts.first_there(self.root / 'none', [TOGETHER], 'give files')
    self.write('f.jsonl', [pair('a')])
    found = layouts.first_there(self.root, [PUBLISHED, TOGETHER], 'give files')
    self.assertIs(found, TOGETHER)


if __name__ == '__main__':
  absltest.main()
