"""Examples written to ArrayRecord as they come.

TFDS's own writer keeps those of a split in memory until it has sorted them,
also where nothing is shuffled.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath
from tensorflow_datasets.core import (
  example_serializer,
  features,
  naming,
  splits,
)

SHARD = 1 << 30  # Bytes of examples in a file, which is the most of TFDS's.


def write(
  examples: Iterable[dict[str, Any]],
  columns: features.FeaturesDict,
  template: naming.ShardedFileTemplate,
) -> splits.SplitInfo:
  """Writes a split, which has one example or more.

  Args:
    examples: as `columns` describes them.
    columns: of the dataset.
    template: the folder and the names of files.
  """
  serializer = example_serializer.ExampleSerializer(
    columns.get_serialized_info()
  )
  content = (
    serializer.serialize_example(columns.encode_example(one))
    for one in examples
  )
  paths, lengths, total = [], [], 0
  for first in content:
    paths.append(template.data_dir / f'{template.split}-{len(paths)}')
    length, size = _shard(paths[-1], itertools.chain([first], content))
    lengths.append(length)
    total += size
  # Their names say how many there are.
  for place, path in enumerate(paths):
    path.rename(
      template.sharded_filepath(shard_index=place, num_shards=len(paths))
    )
  return splits.SplitInfo(
    name=template.split,
    shard_lengths=lengths,
    num_bytes=total,
    filename_template=template,
  )


def _shard(path: epath.Path, content: Iterator[bytes]) -> tuple[int, int]:
  """Writes a file. Returns how many examples, and of how many bytes."""
  writer = ArrayRecordWriter(os.fspath(path), 'group_size:1')
  length = size = 0
  try:
    for one in content:
      writer.write(one)
      length += 1
      size += len(one)
      if size >= SHARD:
        break
  finally:
    writer.close()
  return length, size
