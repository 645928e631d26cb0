"""Examples are written as they come, to files of a largest size."""

import pathlib
import tempfile
from unittest import mock

import tensorflow_datasets as tfds
from absl.testing import absltest
from array_record.python.array_record_module import ArrayRecordReader
from tensorflow_datasets.core import naming

from rlhf_jax.data.builders import shards

COLUMNS = tfds.features.FeaturesDict({'text': tfds.features.Text()})
SIZE = 24  # Of an example here: eight letters, and what protobuf adds.


class ShardsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.template = naming.ShardedFileTemplate(
      self.root, dataset_name='d', split='train', filetype_suffix='array_record'
    )

  def test_files_hold_so_much_and_their_names_say_how_many_there_are(self):
    examples = ({'text': f'number {i}'} for i in range(7))
    with mock.patch.object(shards, 'SHARD', 3 * SIZE):
      info = shards.write(examples, COLUMNS, self.template)
    self.assertEqual(info.shard_lengths, [3, 3, 1])
    self.assertEqual((info.num_examples, info.num_bytes), (7, 7 * SIZE))
    paths = sorted(self.root.iterdir())
    self.assertEqual(
      [path.name for path in paths],
      [f'd-train.array_record-{i:05}-of-00003' for i in range(3)],
    )
    found = [one for p in paths for one in ArrayRecordReader(str(p)).read_all()]
    self.assertEqual(
      [one[-8:] for one in found], [b'number %d' % i for i in range(7)]
    )

  def test_each_is_written_before_the_next_is_made(self):
    made, written, waiting = 0, 0, []

    def examples():
      nonlocal made
      for made in range(1, 6):
        waiting.append(made - written)
        yield {'text': f'number {made}'}

    class Watched(shards.ArrayRecordWriter):
      def write(self, one):
        nonlocal written
        written += 1
        super().write(one)

    with mock.patch.object(shards, 'ArrayRecordWriter', Watched):
      shards.write(examples(), COLUMNS, self.template)
    self.assertEqual((made, written), (5, 5))
    self.assertEqual(waiting, [1] * 5)


if __name__ == '__main__':
  absltest.main()
