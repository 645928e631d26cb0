"""Folders of one's own: saved by `datasets`, tables, and JSON beside data."""

import json
import pathlib
import tempfile

import pyarrow as pa
import tensorflow_datasets as tfds
from absl.testing import absltest
from pyarrow import parquet

from rlhf_jax.data import builders, prepared


def pair(said):
  return {'prompt': said, 'chosen': 'good', 'rejected': 'bad'}


class OwnTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.files = self.root / 'files'

  def save(self, split, *said):
    """A split as `save_to_disk` of `datasets` leaves it."""
    folder, name = self.files / split, 'data-00000-of-00001.arrow'
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist([*map(pair, said)])
    with pa.ipc.new_stream(str(folder / name), table.schema) as out:
      out.write_table(table)
    state = {'_data_files': [{'filename': name}]}
    (folder / 'state.json').write_text(json.dumps(state))
    (folder / 'dataset_info.json').write_text('{"features": {}}')

  def prepared(self):
    """What is asked in each split once it is prepared, and the notes."""
    builder = builders.Comparisons(data_dir=self.root / 'to')
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=self.files)
    )
    asked = {
      split: [r.prompt.text for r in prepared.Split(builder.data_path / split)]
      for split in builder.info.splits
    }
    return asked, builder.info.metadata

  def test_a_folder_that_was_saved_keeps_its_splits(self):
    self.save('validation', 'a', 'b')
    self.save('train', 'b', 'c')
    (self.files / 'dataset_dict.json').write_text(
      '{"splits": ["validation", "train"]}'
    )
    asked, metadata = self.prepared()
    self.assertEqual(asked, {'train': ['b', 'c'], 'validation': ['a', 'b']})
    self.assertEqual(metadata['on_both_sides'], 1)
    self.assertEqual(
      metadata['notes'][0],
      'train/data-00000-of-00001.arrow: read as TRL preference, 2 comparisons',
    )

  def test_a_saved_dataset_without_splits_is_split_by_a_hash(self):
    self.save('', *(f'question {i}' for i in range(60)))
    asked, metadata = self.prepared()
    self.assertCountEqual(
      asked['train'] + asked['test'], [f'question {i}' for i in range(60)]
    )
    self.assertIn('split by a hash of what is said first', metadata['notes'][1])

  def test_tables_keep_the_splits_that_their_names_say(self):
    (self.files / 'data').mkdir(parents=True)
    for split, said in (('train', 'abc'), ('test', 'd')):
      parquet.write_table(
        pa.Table.from_pylist([*map(pair, said)]),
        self.files / f'data/{split}-00000-of-00001.parquet',
      )
    asked, _ = self.prepared()
    self.assertEqual(asked, {'train': ['a', 'b', 'c'], 'test': ['d']})

  def test_json_that_is_no_data_is_told(self):
    self.files.mkdir()
    (self.files / 'MANIFEST.json').write_text('{\n"rows": 4\n}\n')
    for split, said in (('train', 'abc'), ('test', 'd')):
      (self.files / f'{split}.json').write_text(json.dumps([*map(pair, said)]))
    asked, metadata = self.prepared()
    self.assertEqual(asked, {'train': ['a', 'b', 'c'], 'test': ['d']})
    self.assertEqual(
      metadata['notes'][-1],
      'MANIFEST.json: a single JSON object, not read as data; name the file to '
      'read it',
    )


if __name__ == '__main__':
  absltest.main()
