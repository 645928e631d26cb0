"""The first rows of real files, prepared: the same as their readers give."""

import gzip
import itertools
import pathlib
import tempfile

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from rlhf_jax.data import builders, formats, prepared, readers

FOLDER = pathlib.Path(__file__).parents[4] / 'shared' / 'data'
ROWS = 60  # Of each file, unless they are of few openings.
MEASURES, BOTH = ('test',), ('train', 'test')


def by_turn(path):
  return [prompt for form in formats.TURNS for prompt in form(path)]


# Of each dataset a file, its plain reader, its splits, and rows where not ROWS.
FILES = (
  ('hh_rlhf', 'hh_harmless_base_test.jsonl.gz', readers.pairs),
  ('alpaca', 'alpaca_subset.jsonl.gz', formats.read),
  ('dolly', 'dolly_3k.jsonl.gz', formats.read),
  ('alpaca_farm_ranked', 'alpacafarm_ranked.jsonl.gz', formats.read),
  ('ultrafeedback', 'ultrafeedback_pairs.jsonl.gz', formats.read),
  ('oasst', 'oasst_ranked.jsonl.gz', formats.read),
  ('oasst_attributes', 'oasst2_attributes.jsonl.gz', formats.read),
  ('hanna', 'hanna_attributes.jsonl.gz', formats.read, BOTH, 400),
  ('llmbar', 'llmbar.jsonl', formats.read, MEASURES),
  ('vicuna', 'vicuna80.jsonl', formats.read, MEASURES),
  ('mt_bench', 'mt_bench80.jsonl', by_turn, (*MEASURES, 'second_turns')),
  ('alpaca_eval', 'alpacafarm_ranked.jsonl.gz', formats.ALPACA_EVAL, MEASURES),
)


def first_rows(folder, name, rows):
  """The first rows of a file, in a folder of their own."""
  path = folder / name
  path.parent.mkdir(exist_ok=True)
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(FOLDER / name, 'rb') as file, opener(path, 'wb') as out:
    out.writelines(itertools.islice(file, rows))
  return path


@absltest.skipUnless(FOLDER.is_dir(), f'the data sets are not at {FOLDER}')
class SharedTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  @parameterized.parameters(*FILES)
  def test_records_are_those_of_the_plain_file(
    self, name, file, read, splits=BOTH, rows=ROWS
  ):
    path = first_rows(self.root / 'files', file, rows)
    builder = tfds.builder(name, data_dir=self.root / 'to')
    self.assertIsInstance(builder, builders.FeedbackBuilder)
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=path.parent)
    )
    self.assertEqual(tuple(builder.info.splits), splits)
    self.assertEqual(builder.info.metadata['on_both_sides'], 0)
    found = [
      record
      for split in splits
      for record in prepared.Split(builder.data_path / split)
    ]
    self.assertGreater(len(found), rows // 2)
    self.assertCountEqual(found, read(path))


if __name__ == '__main__':
  absltest.main()
