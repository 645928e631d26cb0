"""What all builders do: ArrayRecord without TensorFlow, whole or not at all."""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import textwrap
from unittest import mock

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from rlhf_jax.data import builders, formats, prepared, tfds_examples
from rlhf_jax.data.builders import HhRlhf

ROOT = pathlib.Path(__file__).parents[3]
HH = '\n\nHuman: {}\n\nAssistant: {}'


def line(said):
  return {
    'chosen': HH.format(said, 'good'),
    'rejected': HH.format(said, 'bad'),
  }


def write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def prepare(builder, folder):
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=folder)
  )


class BuilderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.files, self.to = self.root / 'files', self.root / 'to'
    for split, numbers in (('train', range(12)), ('test', range(10, 14))):
      rows = [line(f'question {i}') for i in numbers]
      write(self.files / f'harmless-base/{split}.jsonl', rows)

  def test_it_is_tfds_own_by_its_name_and_in_the_order_of_the_files(self):
    builder = tfds.builder('hh_rlhf', data_dir=self.to)
    self.assertIsInstance(builder, HhRlhf)
    prepare(builder, self.files)
    again = tfds.builder('hh_rlhf', data_dir=self.to)
    source = again.as_data_source('train[50%:]')
    self.assertEqual(
      [one['prompt']['content'] for one in source],
      [[f'question {i}'.encode()] for i in range(6, 12)],
    )
    self.assertEqual(again.info.file_format.value, 'array_record')
    self.assertEqual(again.info.splits['test'].num_examples, 4)

  def test_what_a_prepared_dataset_says_of_itself(self):
    builder = tfds.builder('hh_rlhf', data_dir=self.to)
    prepare(builder, self.files)
    info = tfds.builder_from_directory(builder.data_dir).info
    self.assertEqual(info.metadata['on_both_sides'], 2)  # 10 and 11.
    self.assertEqual(
      info.metadata['kinds'],
      {'train': {'harmless-base': 12}, 'test': {'harmless-base': 4}},
    )
    self.assertIn(
      'harmless-base/test.jsonl: read as HH-RLHF, 4 comparisons',
      info.metadata['notes'],
    )
    self.assertIn('arXiv:2204.05862', info.citation)
    self.assertEqual(info.redistribution_info.license, 'MIT')

  def test_the_digest_is_of_the_records(self):
    digests = []
    for number, chosen in enumerate(('good', 'good', 'best')):
      row = line('question 0') | {'chosen': HH.format('question 0', chosen)}
      write(self.files / 'harmless-base/test.jsonl', [row])
      builder = tfds.builder('hh_rlhf', data_dir=self.to / str(number))
      prepare(builder, self.files)
      digests.append(builder.info.metadata['digests'])
    first, same, other = digests
    self.assertEqual(first, same)
    self.assertEqual(first['train'], other['train'])
    self.assertNotEqual(first['test'], other['test'])

  @parameterized.parameters(ValueError, KeyboardInterrupt)
  def test_what_breaks_off_leaves_nothing_that_looks_prepared(self, error):
    builder = tfds.builder('hh_rlhf', data_dir=self.to)
    real, calls = tfds_examples.example, itertools.count()

    def fails_at_the_end(record):
      if next(calls) == 15:
        raise error('stopped')
      return real(record)

    with (
      mock.patch.object(tfds_examples, 'example', fails_at_the_end),
      self.assertRaises(error),
    ):
      prepare(builder, self.files)
    self.assertEqual(list((self.to / 'hh_rlhf').iterdir()), [])
    self.assertIsNone(prepared.find(str(self.to / 'hh_rlhf')))

  def test_nothing_is_left_beside_it(self):
    scratch = self.root / 'scratch'
    scratch.mkdir()
    with mock.patch.object(tempfile, 'tempdir', str(scratch)):
      prepare(tfds.builder('hh_rlhf', data_dir=self.to), self.files)
    self.assertEqual(list(scratch.iterdir()), [])

  def test_missing_files_are_told_with_where_to_have_them(self):
    write(self.root / 'other/notes.txt', [])
    with self.assertRaisesRegex(
      ValueError,
      'other holds notes.txt; the folder must hold folders such as '
      r'harmless-base .* of anthropics/hh-rlhf \(licence: MIT\)',
    ):
      prepare(tfds.builder('hh_rlhf', data_dir=self.to), self.root / 'other')

  def test_every_builder_says_what_it_is(self):
    for one in vars(builders).values():
      if isinstance(one, type) and one is not builders.FeedbackBuilder:
        with self.subTest(one.name):
          self.assertTrue(one.TITLE and one.SOURCE and one.LICENCE)
          self.assertIn(str(one.VERSION), one.RELEASE_NOTES)
          own = one.__module__.endswith('.own')
          self.assertEqual(one.CITATION.startswith('@'), not own)

  def test_tensorflow_is_never_imported_and_tfds_only_when_asked_for(self):
    program = f"""
      import sys
      import rlhf_jax.data
      assert 'tensorflow_datasets' not in sys.modules
      import rlhf_jax.data.builders
      import tensorflow_datasets as tfds
      builder = tfds.builder('hh_rlhf', data_dir={str(self.to)!r})
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          manual_dir={str(self.files)!r}))
      from rlhf_jax.data import prepared
      print(len(prepared.Split(builder.data_path / 'train')[:]))
      assert 'tensorflow' not in sys.modules
    """
    done = subprocess.run(
      [sys.executable, '-c', textwrap.dedent(program)],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(done.returncode, 0, done.stderr[-2000:])
    self.assertEqual(done.stdout.split()[-1], '12')

  def test_the_reader_of_the_plain_file_gives_the_same_records(self):
    (self.files / 'harmless-base/test.jsonl').unlink()
    (self.files / 'harmless-base/train.jsonl').rename(
      self.files / 'pairs.jsonl'
    )
    rows = [line(f'question {i}') for i in range(60)]
    write(self.files / 'pairs.jsonl', rows)
    builder = tfds.builder('comparisons', data_dir=self.to)
    prepare(builder, self.files)
    plain = formats.comparisons(self.files / 'pairs.jsonl')
    found = [
      record
      for split in ('train', 'test')
      for record in prepared.Split(builder.data_path / split)
    ]
    self.assertCountEqual(found, plain)


if __name__ == '__main__':
  absltest.main()
