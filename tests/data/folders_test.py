"""What a folder of data holds: splits that names say, and JSON that is none."""

import json
import lzma
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.data import files, folders, formats, jsonl

# As a list of files is kept beside them, and on one line.
DESCRIPTION = json.dumps({'files': {'a.jsonl': {'rows': 2}}}, indent=1)
LINE = json.dumps({'builder_name': 'json'}) + '\n'


def pair(number):
  return {'prompt': f'question {number}', 'chosen': 'good', 'rejected': 'bad'}


class FoldersTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def write(self, name, content=''):
    path = self.root / name
    path.parent.mkdir(exist_ok=True)
    given = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(given)

  def lines(self, *numbers):
    return ''.join(json.dumps(pair(i)) + '\n' for i in numbers)

  @parameterized.parameters(
    (('a.jsonl', 'b.jsonl'), {'': ['a.jsonl', 'b.jsonl']}),
    (
      ('test.jsonl', 'train-0.jsonl', 'train-1.jsonl', 'val.jsonl'),
      {
        'train': ['train-0.jsonl', 'train-1.jsonl'],
        'validation': ['val.jsonl'],
        'test': ['test.jsonl'],
      },
    ),
    (
      ('hh_dev.json', 'hh_training.json'),
      {'train': ['hh_training.json'], 'validation': ['hh_dev.json']},
    ),
    # One says none, one says two, all say the same, none is to learn from.
    (('more.jsonl', 'test.jsonl', 'train.jsonl'), None),
    (('test.jsonl', 'train.jsonl', 'train_test.jsonl'), None),
    (('train-0.jsonl', 'train-1.jsonl'), None),
    (('test.jsonl', 'validation.jsonl'), None),
    # A word is a whole one.
    (('contest.jsonl', 'train.jsonl'), None),
  )
  def test_names_say_a_split_or_none(self, names, splits):
    for name in names:
      self.write(name)
    found = folders.find(self.root).splits
    self.assertEqual(found, {'': list(names)} if splits is None else splits)
    self.assertEqual(list(found), list(splits or {'': ()}))

  def test_files_in_a_folder_called_data(self):
    self.write('README.md')
    self.write('data/train-00000-of-00001.parquet')
    self.write('data/test-00000-of-00001.parquet')
    self.assertEqual(
      folders.find(self.root).splits,
      {
        'train': ['data/train-00000-of-00001.parquet'],
        'test': ['data/test-00000-of-00001.parquet'],
      },
    )

  def test_a_file_beside_what_it_was_packed_into_is_one(self):
    for name in ('a.jsonl', 'a.jsonl.xz', 'b.json.gz'):
      self.write(name)
    self.assertEqual(
      folders.find(self.root).splits, {'': ['a.jsonl.xz', 'b.json.gz']}
    )

  @parameterized.parameters(
    ('m.json', DESCRIPTION),
    ('m.json', LINE),
    ('m.json', f'{LINE}\n \n'),
    ('m.json.xz', lzma.compress(DESCRIPTION.encode())),
  )
  def test_a_single_object_beside_data_is_none(self, name, content):
    self.write(name, content)
    self.write('a.jsonl', self.lines(1, 2))
    found = folders.find(self.root)
    self.assertEqual(found.splits, {'': ['a.jsonl']})
    (note,) = folders.notes(found.descriptions)
    self.assertEqual(
      note,
      f'{name}: a single JSON object, not read as data; name the file to read '
      'it',
    )

  @parameterized.parameters(
    ('m.json', LINE * 2),
    ('m.json', f'[{LINE}]'),
    ('m.jsonl', LINE),
    ('m.json', '{"a": 1'),
    ('m.json', ''),
    ('m.json.xz', DESCRIPTION),
  )
  def test_lines_arrays_and_what_is_damaged_are_read(self, name, content):
    self.write(name, content)
    self.write('a.jsonl', self.lines(1, 2))
    found = folders.find(self.root)
    self.assertEqual(found.splits, {'': ['a.jsonl', name]})
    self.assertEmpty(found.descriptions)

  def test_a_single_object_alone_is_read(self):
    self.write('m.json', LINE)
    self.assertEqual(folders.find(self.root).splits, {'': ['m.json']})

  def test_a_source_goes_on_and_tells(self):
    self.write('MANIFEST.json', DESCRIPTION)
    self.write('train.jsonl', self.lines(*range(6)))
    self.write('test.jsonl', self.lines(5, 6))
    folder, found = files.files_at(str(self.root), '', read=formats.comparisons)
    said = folders.notes(['MANIFEST.json'])
    self.assertLen(found.records(folder), 8)
    self.assertEqual(found.records(folder).notes[:1], said)
    training, held_out, notes = found.sides(folder, 0.5, self.root / 'kept')
    self.assertLen(training, 6)
    self.assertLen(held_out, 2)
    self.assertEqual(notes[:1], said)
    self.assertEqual(
      notes[-1],
      'test.jsonl: held out as it was split; 1 openings are on both sides',
    )

  def test_a_pattern_leaves_it_out_and_its_name_reads_it(self):
    self.write('hh_list.json', DESCRIPTION)
    self.write('hh_a.jsonl', self.lines(1))
    self.write('other.jsonl', 'none')
    _, found = files.files_at(str(self.root / 'hh_*'), '', read=formats.read)
    self.assertEqual(found.names, ('hh_a.jsonl',))
    place = str(self.root / 'hh_list.json')
    _, found = files.files_at(place, '', read=formats.read)
    with self.assertRaisesRegex(jsonl.DataError, '^hh_list.json:1: not JSON'):
      found.records(self.root)


if __name__ == '__main__':
  absltest.main()
