"""What all builders of datasets of feedback share: the way to ArrayRecord."""

import collections
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core import splits

from rlhf_jax.data import tfds_examples
from rlhf_jax.data.builders import features, layouts, shards
from rlhf_jax.data.builders.layouts import Layout
from rlhf_jax.storage import files
from rlhf_jax.types import Record, prompt_of


class FeedbackBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A dataset of records of one class, read by the readers of `data`.

  A dataset is a subclass of constants. Beside the records, a prepared dataset
  has in `info.metadata`: 'notes' for a person, 'on_both_sides' (how many
  openings are trained on and held out), and by split 'kinds' (how many records
  there are of each kind of prompts) and 'digests' (SHA-256 of the records).

  Attributes:
    RECORD: the class of its records.
    LAYOUTS: folders that it is read from; the first that fits is.
    TITLE: what it holds, in a few words.
    HOMEPAGE: where it is described.
    SOURCE: where its files are had, and by what names, as words after 'have'.
    LICENCE: of the data.
    CITATION: BibTeX.
    tracked: passes on what is read or written, with its name; for progress.
  """

  RECORD: ClassVar[type[Record]]
  LAYOUTS: ClassVar[tuple[Layout, ...]]
  TITLE: ClassVar[str]
  HOMEPAGE: ClassVar[str] = ''
  SOURCE: ClassVar[str]
  LICENCE: ClassVar[str]
  CITATION: ClassVar[str] = ''
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar[dict[str, str]] = {'1.0.0': 'The first.'}
  # Nothing is downloaded that has checksums; to look for them beside a class of
  # a package, TFDS would need importlib_resources.
  url_infos = None

  def __init_subclass__(cls, **kwargs: Any):
    cls.MANUAL_DOWNLOAD_INSTRUCTIONS = (
      f'the folder must hold {cls.SOURCE} (licence: {cls.LICENCE}).'
    )
    super().__init_subclass__(**kwargs)

  def __init__(self, *, file_format: str | None = None, **kwargs: Any):
    """As of GeneratorBasedBuilder; ArrayRecord needs no TensorFlow."""
    super().__init__(file_format=file_format or 'array_record', **kwargs)

  @staticmethod
  def tracked(items: Sequence[Any], name: str) -> Iterator[Any]:
    del name
    return iter(items)

  def _info(self) -> tfds.core.DatasetInfo:
    return _Info(
      builder=self,
      description=f'{self.TITLE}.',
      features=features.of(self.RECORD),
      homepage=self.HOMEPAGE,
      citation=self.CITATION,
      license=self.LICENCE,
      metadata=tfds.core.MetadataDict(),
      # The order of the files is kept: who trains shuffles.
      disable_shuffling=True,
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Iterator[tuple[int, dict[str, Any]]]]:
    folder = pathlib.Path(dl_manager.manual_dir)
    layout = layouts.first_there(
      folder, self.LAYOUTS, self.MANUAL_DOWNLOAD_INSTRUCTIONS
    )
    found = layouts.read(
      folder,
      layout,
      self._records,
      lambda files: self.tracked(files, 'reading'),
    )
    self.info.metadata.update(
      notes=list(found.notes),
      on_both_sides=found.on_both_sides,
      kinds={},
      digests={},
    )
    return {
      name: self._generate_examples(name, records)
      for name, records in found.splits.items()
    }

  def _generate_examples(
    self, split: str, records: Sequence[Record]
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    digest, kinds = hashlib.sha256(), collections.Counter()
    for number, record in enumerate(self.tracked(records, split)):
      example = tfds_examples.example(record)
      digest.update(json.dumps(example).encode())
      kinds[prompt_of(record).kind] += 1
      yield number, example
    # The most first.
    self.info.metadata['kinds'][split] = dict(kinds.most_common())
    self.info.metadata['digests'][split] = digest.hexdigest()

  def _generate_splits(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> list[splits.SplitInfo]:
    """As of GeneratorBasedBuilder, but for what `shards` says of its writer."""
    del download_config  # Nothing is shuffled, nor left out.
    made = self._split_generators(dl_manager).items()
    written = [
      shards.write(
        (example for _, example in examples),
        self.info.features,
        self._get_filename_template(split),
      )
      for split, examples in made
    ]
    files.remove(self._records)
    return written

  @property
  def _records(self) -> pathlib.Path:
    """Where the records are kept while they are prepared."""
    return pathlib.Path(self.data_path, 'records')


class _Info(tfds.core.DatasetInfo):
  """Facts of a dataset, of which nobody has published any beforehand."""

  def initialize_from_bucket(self) -> None:
    """Asks nowhere, and leaves no temporary folder behind."""
