"""Tables of other people, read as the lines of JSON that they could be."""

import datetime
import json
import pathlib
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.data import arrow, files, formats, jsonl, sources
from rlhf_jax.types import Comparison, Message, Prompt

try:
  import pyarrow as pa
  from pyarrow import parquet
except ModuleNotFoundError:
  pa = None

CHAT = [{'content': 'q', 'role': 'user'}]
# As of UltraFeedback: the prompt, and two whole conversations.
ROW = {
  'prompt': 'q',
  'chosen': [*CHAT, {'content': 'good', 'role': 'assistant'}],
  'rejected': [*CHAT, {'content': 'bad', 'role': 'assistant'}],
  'score_chosen': 8.5,
  'score_rejected': 6.0,
}


def pair(i):
  return {'prompt': f'question {i}', 'chosen': 'good', 'rejected': 'bad'}


def write_parquet(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def write_stream(path, rows):
  """An Arrow stream of batches of two rows."""
  path.parent.mkdir(parents=True, exist_ok=True)
  table = pa.Table.from_pylist(rows)
  with path.open('wb') as file, pa.ipc.new_stream(file, table.schema) as out:
    out.write_table(table, max_chunksize=2)


def write_file(path, rows):
  table = pa.Table.from_pylist(rows)
  with path.open('wb') as file, pa.ipc.new_file(file, table.schema) as out:
    out.write_table(table, max_chunksize=2)


def save(folder, rows):
  """A folder as `save_to_disk` of `datasets` leaves it."""
  name = 'data-00000-of-00001.arrow'
  write_stream(folder / name, rows)
  state = {'_data_files': [{'filename': name}], '_fingerprint': '0'}
  (folder / 'state.json').write_text(json.dumps(state))
  (folder / 'dataset_info.json').write_text('{"features": {}}')


@absltest.skipIf(pa is None, 'pyarrow is not installed')
class ArrowTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  @parameterized.parameters(
    ('f.parquet', write_parquet),
    ('f.arrow', write_stream),
    ('f.arrow', write_file),
  )
  def test_rows_are_as_those_of_json_lines(self, name, write):
    rows = [{'a': i, 'b': [{'c': None if i else 'é'}]} for i in range(5)]
    write(self.root / name, rows)
    found = list(arrow.read(self.root / name))
    self.assertEqual([row.fields for row in found], rows)
    self.assertEqual(
      [row.where for row in found], [f'{name}:{i}' for i in range(1, 6)]
    )

  def test_a_format_reads_a_table(self):
    write_parquet(self.root / 'f.parquet', [ROW])
    prompt = Prompt((Message('user', 'q'),), where='f.parquet:1')
    records = formats.read(self.root / 'f.parquet')
    self.assertEqual(
      records, [Comparison(prompt, ('good', 'bad'), 2.5, (8.5, 6.0))]
    )
    self.assertEqual(
      records.notes,
      ('f.parquet: read as UltraFeedback binarized, 1 comparisons',),
    )

  def test_what_json_has_no_word_for_is_a_text(self):
    day = datetime.date(2024, 2, 29)
    write_parquet(self.root / 'f.parquet', [pair(1) | {'day': day}])
    (row,) = arrow.read(self.root / 'f.parquet')
    self.assertEqual(row.fields['day'], '2024-02-29')
    self.assertLen(formats.read(self.root / 'f.parquet'), 1)

  def test_a_row_that_does_not_fit_is_told_by_its_number(self):
    rows = [pair(1), pair(2), pair(3) | {'chosen': None}]
    write_parquet(self.root / 'f.parquet', rows)
    with self.assertRaisesRegex(
      jsonl.DataError, "^f.parquet:3: field 'chosen' must be a text, not null"
    ):
      formats.read(self.root / 'f.parquet')

  @parameterized.parameters('f.parquet', 'f.arrow')
  def test_what_is_no_table(self, name):
    path = self.root / name
    (write_parquet if 'parquet' in name else write_stream)(path, [pair(1)])
    whole = path.read_bytes()
    for content in (
      b'',
      b'version https://git-lfs\n',
      whole[: len(whole) // 2],
    ):
      path.write_bytes(content)
      with self.assertRaisesRegex(jsonl.DataError, f'^{name}: not a whole'):
        list(arrow.read(path))
    write_parquet(self.root / 'none.parquet', [])
    with self.assertRaisesRegex(jsonl.DataError, 'holds no data; it needs one'):
      list(arrow.read(self.root / 'none.parquet'))

  def test_without_pyarrow_the_command_is_told(self):
    write_parquet(self.root / 'f.parquet', [pair(1)])
    with (
      mock.patch.dict(sys.modules, {'pyarrow': None}),
      self.assertRaisesRegex(jsonl.DataError, 'needed: pip install pyarrow$'),
    ):
      next(arrow.read(self.root / 'f.parquet'))

  def test_a_saved_folder_is_its_arrow_files(self):
    save(self.root / 'one', list(map(pair, range(3))))
    write_stream(self.root / 'one' / 'cache-12ab.arrow', [pair(9)])
    folder, found = files.files_at(
      str(self.root / 'one'), '', read=formats.comparisons
    )
    self.assertEqual(found.names, ('data-00000-of-00001.arrow',))
    self.assertEqual(found.held_out, ())
    self.assertLen(found.records(folder), 3)

  def test_splits_of_a_saved_folder_are_used_as_they_are(self):
    splits = {'train': [1, 2, 3], 'validation': [4], 'test': [5, 1]}
    for name, numbers in splits.items():
      save(self.root / name, list(map(pair, numbers)))
    (self.root / 'dataset_dict.json').write_text(
      json.dumps({'splits': list(splits)})
    )
    folder, found = files.files_at(str(self.root), '', read=formats.comparisons)
    corpus = sources.Feedback(folder, found, vocab_size=300).load(
      self.root / 'run'
    )
    asked = {
      name: [record.prompt.text for record in corpus.datasets[name]]
      for name in ('comparisons', 'test_comparisons')
    }
    self.assertEqual(
      asked['comparisons'], ['question 1', 'question 2', 'question 3']
    )
    self.assertEqual(
      asked['test_comparisons'], ['question 4', 'question 5', 'question 1']
    )
    self.assertIn(
      'validation/data-00000-of-00001.arrow, test/data-00000-of-00001.arrow: '
      'held out as it was split; 1 openings are on both sides',
      corpus.notes,
    )

  def test_saved_folders_that_are_not_whole(self):
    (self.root / 'dataset_dict.json').write_text('{"splits": ["test"]}')
    with self.assertRaisesRegex(
      jsonl.DataError, 'has the splits test and no train; name the folder'
    ):
      arrow.saved(self.root)
    (self.root / 'state.json').write_text('{}')
    with self.assertRaisesRegex(
      jsonl.DataError, 'state.json is not as `datasets` writes it; save'
    ):
      arrow.saved(self.root)


if __name__ == '__main__':
  absltest.main()
