"""Prepared datasets: found by name or folder, read by place, damage told."""

import functools
import json
import pathlib
import tempfile
from unittest import mock

import tensorflow_datasets as tfds
from absl.testing import parameterized

from launch import prepare
from rlhf_jax.data import (
  files,
  formats,
  jsonl,
  prepared,
  sources,
  tfds_examples,
)
from rlhf_jax.data.builders import HhRlhf, Vicuna

HH = '\n\nHuman: question {}\n\nAssistant: {}'


def write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def make(kind, folder, to):
  builder = kind(data_dir=to)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=folder)
  )
  return pathlib.Path(builder.data_dir)


class PreparedTest(parameterized.TestCase):
  scratch: tempfile.TemporaryDirectory
  to: pathlib.Path
  folder: pathlib.Path

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.scratch = tempfile.TemporaryDirectory()
    root = pathlib.Path(cls.scratch.name)
    cls.to = root / 'to'
    for split, numbers in (('train', range(20)), ('test', range(18, 24))):
      write(
        root / f'files/helpful-base/{split}.jsonl',
        [
          {'chosen': HH.format(i, 'good'), 'rejected': HH.format(i, 'bad')}
          for i in numbers
        ],
      )
    cls.folder = make(HhRlhf, root / 'files', cls.to)
    question = {'question_id': 1, 'category': 'c', 'turns': ['q']}
    write(root / 'files/question.jsonl', [question])
    cls.measure = make(Vicuna, root / 'files', cls.to)

  @classmethod
  def tearDownClass(cls):
    cls.scratch.cleanup()
    super().tearDownClass()

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def test_a_name_a_dataset_or_a_version_means_its_folder(self):
    found = functools.partial(self.assertEqual, self.folder)
    found(prepared.find(str(self.folder)))
    found(prepared.find(str(self.to / 'hh_rlhf')))
    self.assertIsNone(prepared.find(str(self.to)))
    self.assertIsNone(prepared.find(str(self.root / 'hh_rlhf')))
    with mock.patch.dict('os.environ', TFDS_DATA_DIR=str(self.to)):
      found(prepared.find('hh_rlhf'))
      self.assertIsNone(prepared.find('alpaca'))
    with mock.patch.dict('os.environ', TFDS_DATA_DIR=str(self.root)):
      self.assertIsNone(prepared.find('hh_rlhf'))

  def test_the_newest_version_is_taken(self):
    for version in ('1.0.0', '1.9.0', '1.10.0'):
      for name in ('dataset_info.json', 'features.json'):
        write(self.root / 'd' / version / name, [{}])
    (self.root / 'd' / '2.0.0').mkdir()  # Which holds nothing.
    self.assertEqual(
      prepared.find(str(self.root / 'd')), self.root / 'd' / '1.10.0'
    )

  def test_records_are_read_one_by_one(self):
    with mock.patch.object(
      tfds_examples, 'record', side_effect=tfds_examples.record
    ) as read:
      split = prepared.Split(self.folder / 'train')
      self.assertLen(split, 20)
      self.assertEqual(read.call_count, 0)
      self.assertEqual(split[7].prompt.text, 'question 7')
      self.assertEqual(split[-1].prompt.text, 'question 19')
      self.assertEqual(read.call_count, 2)
    self.assertEqual(
      [record.prompt.text for record in split[4:0:-2]],
      ['question 4', 'question 2'],
    )
    self.assertEqual(split[0].responses, ('good', 'bad'))
    with self.assertRaises(IndexError):
      split[20]

  def test_a_source_uses_the_splits_as_they_are(self):
    folder, found = files.files_at(
      str(self.to / 'hh_rlhf'), '', read=formats.comparisons
    )
    source = sources.Feedback(folder, found, vocab_size=300)
    corpus = source.load(self.root)
    asked = {
      name: [record.prompt.text for record in corpus.datasets[name]]
      for name in ('comparisons', 'test_comparisons')
    }
    self.assertEqual(asked['comparisons'], [f'question {i}' for i in range(20)])
    self.assertEqual(
      asked['test_comparisons'], [f'question {i}' for i in range(18, 24)]
    )
    self.assertIn(
      'test: held out as it was split; 2 openings are on both sides',
      corpus.notes,
    )
    self.assertIn(
      'helpful-base/train.jsonl: read as HH-RLHF, 20 comparisons', corpus.notes
    )

  def test_any_reader_of_formats_reads_a_split(self):
    path = self.folder / 'test'
    self.assertLen(formats.comparisons(path), 6)
    self.assertEqual(formats.demonstrations(path)[0].response, 'good')
    self.assertEqual(formats.prompts(path)[5].text, 'question 23')
    with self.assertRaisesRegex(
      jsonl.DataError, 'prepared, 1 records; demonstrations are needed here'
    ):
      formats.demonstrations(self.measure / 'test')
    with self.assertRaisesRegex(jsonl.DataError, 'has no format and columns'):
      formats.read(path, columns={'prompt': 'q'})

  def test_the_first_of_both_sides_are_taken(self):
    folder, found = files.files_at(
      str(self.folder), '', read=formats.comparisons, first=4
    )
    training, held_out, notes = found.sides(folder, 0.5, self.folder)
    self.assertEqual((len(training), len(held_out)), (4, 4))
    self.assertIn('the first 4 of 20 are taken', notes)

  def test_the_fingerprint_is_of_the_records(self):
    def contents(place):
      folder, found = files.files_at(place, '', read=formats.comparisons)
      return found.contents(folder)

    first = contents(str(self.folder))
    metadata = json.loads((self.folder / 'metadata.json').read_text())
    for digest in metadata['digests'].values():
      self.assertIn(digest, first)
    self.assertEqual(first, contents(str(self.to / 'hh_rlhf')))
    self.assertNotEqual(first, contents(str(self.folder / 'train')))

  def test_what_is_to_measure_on_is_not_trained_on_unless_named(self):
    with self.assertRaisesRegex(
      jsonl.DataError, 'has the splits test and no train: it is to measure on'
    ):
      files.files_at(str(self.measure), '', read=formats.prompts)
    folder, found = files.files_at(
      str(self.measure / 'test'), '', read=formats.prompts
    )
    self.assertEqual(found.records(folder)[0].text, 'q')

  def test_what_is_measured_on_is_held_out(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    for names, expected in (
      (['train', 'validation', 'test'], 'test'),
      (['validation'], 'validation'),
    ):
      splits = [{'name': name} for name in names]
      (folder / 'dataset_info.json').write_text(json.dumps({'splits': splits}))
      self.assertEqual(prepared.measured_on(folder), folder / expected)
    splits = json.dumps({'splits': [{'name': 'train'}]})
    (folder / 'dataset_info.json').write_text(splits)
    with self.assertRaisesRegex(jsonl.DataError, 'the split train alone'):
      prepared.measured_on(folder)

  def test_what_is_not_there(self):
    with self.assertRaisesRegex(
      jsonl.DataError, 'has no split tset; its splits are train, test'
    ):
      prepared.Split(self.folder / 'tset')
    with (
      mock.patch.dict('os.environ', TFDS_DATA_DIR=str(self.root)),
      self.assertRaisesRegex(
        jsonl.DataError,
        'neither a file dolly nor .*launch.prepare dolly --from DIR',
      ),
    ):
      files.files_at('dolly', '', read=formats.read)

  @parameterized.parameters(
    ('rewardbench', r'rewardbench nor .*\. python -m launch.prepare lists'),
    ('llm_bar', "did you mean 'llmbar'"),
  )
  def test_no_command_is_named_that_prepares_nothing(self, name, message):
    with self.assertRaisesRegex(jsonl.DataError, message) as caught:
      files.files_at(name, '', read=formats.read)
    self.assertNotIn(f'launch.prepare {name}', str(caught.exception))

  def test_the_datasets_that_are_named_are_those_that_can_be_prepared(self):
    self.assertEqual([*prepared.DATASETS], [*prepare.builders()])

  @parameterized.parameters(
    (
      lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    ),
    (lambda content: content[: len(content) // 2],),
  )
  def test_damage_names_the_dataset_and_what_to_do(self, damage):
    for path in self.folder.iterdir():
      content = path.read_bytes()
      if 'train.array_record' in path.name:
        content = damage(content)
      (self.root / path.name).write_bytes(content)
    with self.assertRaisesRegex(
      jsonl.DataError, f'^record .* of {self.root}/train cannot be read .*again'
    ):
      prepared.Split(self.root / 'train')[:]
    (self.root / 'metadata.json').write_text('{')
    with self.assertRaisesRegex(jsonl.DataError, 'metadata.json is damaged'):
      prepared.Split(self.root / 'train')
