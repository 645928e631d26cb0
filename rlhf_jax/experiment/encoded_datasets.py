"""Datasets as ids, encoded once for all stages, runs and processes.

They are kept beside the stages, each in a folder that is named after all that
its ids depend on: the records, the tokenizer, the template, the limits, and the
code that encodes.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from rlhf_jax import processes
from rlhf_jax.addressing import Code
from rlhf_jax.data import encoded, sequences
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.examples import Example
from rlhf_jax.experiment.datasets import Data, encoding_shown
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.storage import files
from rlhf_jax.types import Record

FOLDER = '.encoded'
FEW = 2_000  # Records that are encoded in less time than it takes to keep them.

Examples = tuple[Sequence[Example], Counts]


def learnable(
  run: Run, name: str, records: Sequence[Record], data: Data
) -> Examples:
  """What can be learnt from of a dataset, and what was cut or left out.

  Args:
    run: where they are kept.
    name: of the stage that asks.
    records: of the dataset, as of `Data.records`.
    data: how the stage reads text.
  """
  return _examples(run, name, records, data, data.encode, encoded.learnable)


def all_of(
  run: Run, name: str, records: Sequence[Record], data: Data
) -> Examples:
  """A dataset to score or to answer: all but what the limits drop."""
  return _examples(run, name, records, data, data.encode_all, encoded.Encoded)


def _examples(
  run: Run,
  name: str,
  records: Sequence[Record],
  data: Data,
  encode: Callable[[Sequence[Record]], Examples],
  view: Callable[[pathlib.Path, Sequence[Record]], encoded.Encoded],
) -> Examples:
  said = sequences.fingerprint(records)
  if said is None or len(records) < FEW:
    return encode(records)
  corpus, limits = data.corpus, data.limits
  address = Code().digest(
    encoded.keep,
    type(data).as_read,
    said,
    corpus.tokenizer.fingerprint,
    corpus.template,
    dataclasses.replace(limits, buckets=()),  # They only pad.
  )
  folder = run.folders.root / FOLDER / address
  watch = encoding_shown(len(records), run.console)

  def keep():
    files.sweep(folder)
    read = map(data.as_read, watch(records))
    encoded.keep(folder, read, corpus.tokenizer, corpus.template, limits)
    os.utime(folder)  # It was used now: `launch.disk` removes what is not.

  with run.folders.lock(name, address).alone():
    processes.by_first(keep)
  found = view(folder, records)
  return found, found.counts
