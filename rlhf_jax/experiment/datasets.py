"""The datasets of an experiment, and how records become batches."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import jax
import numpy as np

from rlhf_jax import processes, progress, sharding
from rlhf_jax.data import chat_templates, sequences, tokens
from rlhf_jax.data.collation import collate
from rlhf_jax.data.encoding import (
  Counts,
  Example,
  encode,
  encode_all,
)
from rlhf_jax.data.limits import Limits, columns_of
from rlhf_jax.data.record_lines import Lines
from rlhf_jax.data.responses import decoded
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment import store
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.types import Prompt, Prompts, Response, Rollouts, without_ids

LONGEST = 2**31 - 1
WHOLE = Limits(max_prompt_tokens=LONGEST, max_response_tokens=LONGEST)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Data:
  """An experiment's datasets, and how their records go in and out of models.

  Attributes:
    corpus: the source's datasets, its tokenizer and its template.
    written: of every dataset that a stage writes, that stage's folder.
    limits: of tokens in prompts and responses.
    mesh: where batches live.
    max_rows: responses in the models at a time, where nothing is learnt.
    console: where progress is shown.
  """

  corpus: Corpus
  written: Mapping[str, store.Folder]
  limits: Limits
  mesh: jax.sharding.Mesh
  max_rows: int
  console: TextIO

  def read_by(self, folder: str) -> 'Data':
    """The same data in the ids of the model in a folder of transformers.

    They are read by its own tokenizer and chat template; where its vocabulary
    is this one, by these.

    Raises:
      VocabularyError: it has no tokenizer.
    """
    tokenizer = tokens.load(folder)
    if tokenizer.vocabulary == self.corpus.tokenizer.vocabulary:
      return self
    corpus = self.corpus._replace(
      tokenizer=tokenizer, template=chat_templates.of(tokenizer)
    )
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return TextData(**fields | {'corpus': corpus})

  def records(self, data: str | tuple[str, ...]) -> Sequence[Any]:
    """The records of a dataset, or of several one after the other.

    Those of the source, or what a stage wrote, which are read when they are
    asked for.
    """
    if not isinstance(data, str):
      return sequences.Chained([self.records(name) for name in data])
    if data in self.corpus.datasets:
      return self.corpus.datasets[data]
    if data in self.written:
      folder = self.written[data]
      checksum = folder.facts().get('checksum')
      return Lines(folder.records(), f'{folder.path.name}-{checksum}')
    there = [*self.corpus.datasets, *self.written]
    raise ExperimentError(
      f'there is no dataset {data!r}; there are {", ".join(there)}'
    )

  def as_read(self, record: Any) -> Any:
    """A record as it is encoded."""
    return record

  def encode(self, records: Sequence[Any]) -> tuple[list[Example], Counts]:
    """Records to learn from as token ids, and what was cut or left out."""
    return encode(map(self.as_read, records), *self._encoding(records))

  def encode_all(self, records: Sequence[Any]) -> tuple[list[Example], Counts]:
    """Records to score or to answer: all but those that the limits drop."""
    return encode_all(map(self.as_read, records), *self._encoding(records))

  def _encoding(self, records):
    """What encoding takes besides records; one that takes long is shown."""
    watch = encoding_shown(len(records), self.console)
    return self.corpus.tokenizer, self.corpus.template, self.limits, watch

  def batch(
    self,
    examples: Sequence[Example],
    rows: int,
    candidates: int | None = None,
  ) -> Any:
    """Examples on the mesh, the last repeated until there are `rows`.

    Or as many more as the devices can share evenly.
    """
    rows = self.shared(rows)
    filled = [*examples, *[examples[-1]] * (rows - len(examples))]
    return sharding.place_batch(
      collate(
        filled,
        pad_id=self.corpus.tokenizer.pad_id,
        limits=self.limits,
        candidates=candidates,
      ),
      self.mesh,
    )

  def at_a_time(self, most: int, rows: int) -> int:
    """How many prompts of so many rows each: `most`, or as max_rows has it.

    A number that the devices share evenly, where max_rows says it.
    """
    if most * rows <= self.max_rows:
      return most
    devices = sharding.batch_devices(self.mesh)
    each = self.max_rows // rows // devices
    return min(most, devices * max(1, each))

  def shared(self, rows: int) -> int:
    """`rows`, rounded up to a multiple of the devices of a batch."""
    devices = sharding.batch_devices(self.mesh)
    return -(-rows // devices) * devices

  def prompts(
    self, examples: Sequence[Example], first: int, rows: int
  ) -> Prompts:
    """What examples ask, on the mesh, numbered from `first`, `rows` of them."""
    asked = [
      e._replace(
        held=e.prompt,
        response_ids=(),
        target_ids=None,
        reference_logps=None,
        features=None,
      )
      for e in examples
    ]
    index = first + np.arange(self.shared(rows), dtype=np.int32)
    placed = sharding.place_batch(index, self.mesh)
    return self.batch(asked, rows).replace(index=placed)

  def responses(
    self, prompts: Sequence[Prompt], rollouts: Rollouts
  ) -> list[list[Response]]:
    """What was answered to the first N prompts of rollouts: N lists of K."""
    tokens, mask = processes.on_host(rollouts.responses)
    ended = processes.on_host(rollouts.ended)
    rows = zip(prompts, tokens, mask, ended, strict=False)
    sampled = [
      (
        prompt,
        [
          (ids[kept].tolist(), ended)
          for ids, kept, ended in zip(*candidates, strict=True)
        ],
      )
      for prompt, *candidates in rows
    ]
    return decoded(sampled, self.corpus.tokenizer, self.corpus.template)


class TextData(Data):
  """Data in the ids of another tokenizer than the policies'.

  The text of a response counts: ids that were sampled are a policy's. What is
  to be scored is read whole, however long it is in these ids.
  """

  def as_read(self, record: Any) -> Any:
    """A record without the ids of its responses."""
    return without_ids(record)

  def encode_all(self, records: Sequence[Any]) -> tuple[list[Example], Counts]:
    """Records to score, none of which is cut or dropped."""
    return Data.encode_all(dataclasses.replace(self, limits=WHOLE), records)

  def batch(
    self,
    examples: Sequence[Example],
    rows: int,
    candidates: int | None = None,
  ) -> Any:
    """As of Data, with as many columns as they need."""
    return Data.batch(with_room_for(self, examples), examples, rows, candidates)


def encoding_shown(
  count: int, out: TextIO
) -> Callable[[Iterable[Any]], Iterator[Any]]:
  """Gives so many records one by one, and shows how far their encoding is."""
  return functools.partial(
    progress.track, name='encoding', total=count, out=out, unit='record'
  )


def with_room_for(data: Data, examples: Sequence[Example]) -> Data:
  """The data with limits that fit examples, whatever its own are.

  Batches have columns for the longest, from few sizes: each is compiled once.
  """
  longest = max(example.length for example in examples)
  columns = columns_of(longest)
  limits = Limits(
    max_prompt_tokens=columns, max_response_tokens=columns, buckets=(columns,)
  )
  return dataclasses.replace(data, limits=limits)
