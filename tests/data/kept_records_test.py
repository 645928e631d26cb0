"""A source of many records keeps them on disk, and reads its files once."""

import dataclasses
import functools
import json
import pathlib
import tempfile
import weakref
from unittest import mock

from absl.testing import absltest

from rlhf_jax.data import (
  files,
  formats,
  kept_records,
  readers,
  sequences,
  sources,
)
from rlhf_jax.storage import seals
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Response,
)

PAIRS = 90


def pair(number):
  turns = [{'role': 'user', 'content': f'question {number % 60}'}]
  said = {'chosen': f'good {number}', 'rejected': f'bad {number}'}
  if number % 30 == 7:
    said['rejected'] = said['chosen']
  return {'subset': 'helpful', 'prompt': turns} | said


def with_margins(path):
  return [
    one._replace(margin=float(place % 3))
    for place, one in enumerate(readers.pairs(path))
  ]


class SourceTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    text = ''.join(json.dumps(pair(i)) + '\n' for i in range(PAIRS))
    (self.root / 'pairs.jsonl').write_text(text)
    self.source = sources.Feedback(
      str(self.root),
      comparisons=files.Files(('pairs.jsonl',), readers.pairs),
      held_out=0.3,
      vocab_size=300,
    )

  def load(self, few, **changes):
    source = dataclasses.replace(self.source, **changes)
    with mock.patch.object(files, 'FEW', few):
      return source.load(self.root / f'run-{few}')

  def test_the_datasets_are_those_of_few_records(self):
    for read in (readers.pairs, with_margins):
      pairs = files.Files(('pairs.jsonl',), read)
      held, kept = (self.load(few, comparisons=pairs) for few in (PAIRS, 10))
      self.assertEqual(kept.notes, held.notes)
      self.assertEqual(kept.datasets.keys(), held.datasets.keys())
      for name, records in held.datasets.items():
        self.assertIsInstance(records, list)
        self.assertNotIsInstance(kept.datasets[name], list)
        self.assertEqual(list(kept.datasets[name]), records, name)
      self.assertEqual(
        kept.tokenizer.backend.to_str(), held.tokenizer.backend.to_str()
      )

  def test_they_tell_one_another_apart(self):
    datasets = self.load(10).datasets.values()
    self.assertLen({records.fingerprint for records in datasets}, 4)
    again = self.load(10).datasets.values()
    self.assertEqual(
      [records.fingerprint for records in datasets],
      [records.fingerprint for records in again],
    )

  def test_a_second_time_no_file_is_read(self):
    first = self.load(10)
    with (
      mock.patch.object(readers, 'rows', side_effect=AssertionError),
      mock.patch.object(
        kept_records.Lines, '__getitem__', side_effect=AssertionError
      ),
    ):
      second = self.load(10)
      self.assertEqual(second.notes, first.notes)
      for name, records in first.datasets.items():
        self.assertLen(second.datasets[name], len(records))

  def test_other_content_is_read_anew(self):
    before = self.load(10).datasets['comparisons']
    lines = (self.root / 'pairs.jsonl').read_text().splitlines()
    (self.root / 'pairs.jsonl').write_text('\n'.join(lines[1:]))
    after = self.load(10).datasets['comparisons']
    self.assertNotEqual(after.fingerprint, before.fingerprint)

  def test_how_many_responses_there_are_is_known_without_reading(self):
    found = self.load(10).datasets
    with mock.patch.object(kept_records.Lines, '__getitem__'):
      counts = sequences.column(found['comparisons'], 'responses')
    self.assertEqual(counts.tolist(), [2] * len(found['comparisons']))

  def test_a_damaged_file_is_told(self):
    self.load(10)
    (path,) = self.root.glob('run-10/records-*/records.jsonl')
    path.write_text(path.read_text().replace('good', 'goof', 1))
    with self.assertRaisesRegex(
      seals.DamagedError, f'^{path} is damaged.*; delete {path.parent}, and'
    ):
      self.load(10)

  def test_a_stop_leaves_nothing(self):
    with (
      mock.patch.object(kept_records, 'row', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      self.load(10)
    self.assertEmpty(list((self.root / 'run-10').iterdir()))

  def test_formats_that_are_found_hold_one_record_at_a_time(self):
    told = functools.partial(formats.demonstrations, columns={})
    for read in (formats.comparisons, formats.TRL_PREFERENCE, told):
      with mock.patch.object(readers, 'collected', side_effect=AssertionError):
        own = files.Files(('pairs.jsonl',), read)
        with mock.patch.object(files, 'FEW', 10):
          found, _, notes = own.sides(self.root, 0.0, self.root / 'run')
      self.assertEqual(list(found), list(read(self.root / 'pairs.jsonl')))
      self.assertEqual(notes[:-1], tuple(read(self.root / 'pairs.jsonl').notes))

  def test_the_first_few_of_several_files(self):
    both = files.Files(('pairs.jsonl',) * 2, readers.pairs, first=100)
    with mock.patch.object(files, 'FEW', 10):
      found, held_out, notes = both.sides(self.root, 0.0, self.root / 'run')
    self.assertEmpty(held_out)
    self.assertIsInstance(found, sequences.Selected)
    self.assertEqual(list(found), list(both.records(self.root)))
    self.assertEqual(notes[:-1], tuple(both.records(self.root).notes))
    self.assertStartsWith(notes[-2], 'the first 100 of ')


class WriteTest(absltest.TestCase):
  def test_few_records_are_held_at_a_time(self):
    alive, most = 0, 0

    def gone():
      nonlocal alive
      alive -= 1

    def records():
      nonlocal alive, most
      for number in range(20_000):
        said = Response(f'say {number}')
        weakref.finalize(said, gone)
        alive += 1
        most = max(most, alive)
        yield Demonstration(Prompt((Message('user', 'a'),)), said)

    with tempfile.TemporaryDirectory() as root:
      folder = pathlib.Path(root, 'records')
      kept_records.write(folder, records(), ['a note'])
      found = kept_records.KeptRecords(folder)
      self.assertLen(found, 20_000)
      self.assertEqual(found[12_345].response, 'say 12345')
      self.assertEqual(found.notes, ('a note',))
    self.assertLess(most, 10)

  def test_a_reader_that_streams_holds_one(self):
    with tempfile.TemporaryDirectory() as root:
      path = pathlib.Path(root, 'pairs.jsonl')
      path.write_text(''.join(json.dumps(pair(i)) + '\n' for i in range(40)))
      stream = readers.pairs.stream(path)
      records = iter(stream)
      self.assertIsInstance(next(records), Comparison)
      self.assertEmpty(stream.notes)
      self.assertLen(list(records), 37)
      self.assertEqual(stream.notes, readers.pairs(path).notes)


if __name__ == '__main__':
  absltest.main()
