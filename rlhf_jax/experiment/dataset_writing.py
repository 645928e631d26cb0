"""Running a stage that writes a dataset, going on where a file breaks off."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import processes, progress
from rlhf_jax.data import names
from rlhf_jax.data import record_lines as lines
from rlhf_jax.experiment import encoded_datasets, store
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.model_queries import ModelQueries
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import DatasetStage, RecordBatch
from rlhf_jax.storage import files, seals
from rlhf_jax.training import metrics, stopping
from rlhf_jax.types import Comparison, Mean, Record, Reward

MOST_ASKED = 20  # Prompts asked for each record, before a stage gives up.
MOST_AGREED = 4096  # Pairs that gold scores at a time.


@dataclasses.dataclass(frozen=True)
class WrittenBatches:
  """What a dataset stage has written so far, batch by batch.

  Attributes:
    batches: of each how many records it made, its facts, and how many of its
      responses were unscored.
    config: the stage's.
    size: records that a batch asks about.
    total: records that there are to ask about.
  """

  batches: list[dict[str, Any]]
  config: Any
  size: int
  total: int

  @property
  def found(self) -> int:
    """Records written."""
    return sum(batch['records'] for batch in self.batches)

  @property
  def unscored(self) -> int:
    """Responses that could not be scored."""
    return sum(batch['unscored'] for batch in self.batches)

  @property
  def asked(self) -> int:
    """Records asked about; with `count`, the same ones many times perhaps."""
    asked = len(self.batches) * self.size
    return asked if self.config.count else min(asked, self.total)

  @property
  def finished(self) -> bool:
    """Whether `count` are written or, without one, all were asked once."""
    if self.config.count is None or self.config.batch_size is None:
      return self.asked >= self.total
    return self.found >= self.config.count

  @property
  def shown(self) -> int:
    """How far it is for people, out of `count` or of `total`."""
    count = self.config.count
    return min(self.found, count) if count else self.asked


def write(run: Run, name: str) -> dict[str, Any]:
  """Writes records.jsonl of a dataset stage. Returns facts for people."""
  stage: DatasetStage = run.experiment.stages[name]
  config, folder = stage.config, run.folders[name].path
  examples, counts = encoded_datasets.all_of(
    run, name, run.data.records(stage.data), run.data
  )
  facts = run.tell_counts(name, counts)
  reward = stage.frozen.get('reward')
  partial = folder / store.PARTIAL_RECORDS
  done = processes.by_first(lambda: _done(partial))
  model_queries = ModelQueries(
    name,
    stage,
    examples,
    data=run.data,
    models=run.models(reward, stage=name),
    trained=run.trained,
    reward=run.scored_by(reward, run.data),
    key_of=run.key,
  )
  written = WrittenBatches(
    done, config, model_queries.batch_size, len(examples)
  )
  shown = progress.Progress(
    name,
    config.count or len(examples),
    start=written.shown,
    unit='record',
    out=run.console,
  )
  with jax.set_mesh(run.mesh):
    while not written.finished:
      batch = _batch(name, stage, model_queries, len(done))
      processes.by_first(lambda batch=batch: files.append_line(partial, batch))
      done.append(_without_lines(batch))
      if config.count and written.asked > MOST_ASKED * max(
        written.found, written.size
      ):
        raise ExperimentError(too_few(name, stage, written))
      shown.show(written.shown, {})
      stopping.check()
  if not written.found:
    raise ExperimentError(none(name, stage, written))
  path = folder / store.RECORDS
  processes.by_first(lambda: _join(partial, path, config.count))
  facts |= over_batches([batch['facts'] for batch in done])
  if written.unscored:
    facts['unscored_responses'] = written.unscored
  left_out = said_of(facts)
  if left_out:
    run.tell(name, f'{" and ".join(left_out)}: left out')
  with scoring.during(f'gold of stage {name!r}'):
    facts |= processes.by_first(
      lambda: agreement(run.corpus.gold, lines.Lines(path, ''))
    )
  total = min(written.found, config.count or written.found)
  counted = {'records': total, 'asked': written.asked}
  checksum = processes.by_first(lambda: seals.checksum(path))
  return facts | counted | {'checksum': checksum}


def _done(partial: pathlib.Path) -> list[dict[str, Any]]:
  """The batches that were written before, of a file that is made if need be.

  A batch is a line, so that a line cut off by a kill costs one batch.
  """
  done = []

  def whole():
    for batch in _batches(partial) if partial.exists() else ():
      done.append(_without_lines(batch))
      yield batch

  files.write_lines(partial, whole())
  return done


def _join(partial: pathlib.Path, path: pathlib.Path, count: int | None) -> None:
  """Writes the records of all batches, or the first `count` of them."""
  rows = (row for batch in _batches(partial) for row in batch['records'])
  files.write_lines(path, itertools.islice(rows, count))


def _batches(partial: pathlib.Path) -> Iterator[dict[str, Any]]:
  return metrics.stream_jsonl(partial, ('records', 'facts', 'unscored'))


def _without_lines(batch: Mapping[str, Any]) -> dict[str, Any]:
  """A batch as of WrittenBatches, whose records stay on disk."""
  return {**batch, 'records': len(batch['records'])}


def _batch(name, stage, model_queries, number):
  """A batch as JSON: lines of records, facts, and unscored responses.

  Of facts that are a Mean, total and weight.
  """
  records, queries = model_queries.batch(number)
  with scoring.during(f'stage {name!r}'):
    made = stage.build(records, queries, config=stage.config)
  facts = made.facts if isinstance(made, RecordBatch) else {}
  return {
    'records': list(map(lines.row, made)),
    'facts': {
      k: [float(v.total), float(v.weight)] if isinstance(v, Mean) else v
      for k, v in facts.items()
    },
    'unscored': model_queries.unscored,
  }


def said_of(facts: Mapping[str, Any]) -> list[str]:
  """What nobody could score or decide on, in words."""
  unscored, undecided = map(
    facts.get, ('unscored_responses', 'undecided_share')
  )
  responses = names.amounts({'responses': unscored})
  said = [f'{each} could not be scored' for each in responses]
  said += [f'{undecided:.1%} of pairs had no verdict'] if undecided else []
  return said


def agreement(
  gold: Reward | None, records: Iterable[Record]
) -> dict[str, float]:
  """How often gold ranks the first of two responses above the second.

  Equal ones count half. Nothing where no gold is known, or there are no pairs
  that it could score.
  """
  if gold is None:
    return {}
  compared = (r for r in records if isinstance(r, Comparison))
  pairs = (r for r in compared if len(r.responses) == 2)
  right = scored = 0.0
  while some := list(itertools.islice(pairs, MOST_AGREED)):
    asked = [r.prompt for r in some for _ in r.responses]
    texts = [text for r in some for text in r.responses]
    better, worse = scoring.ask(gold, asked, texts).reshape(-1, 2).T
    known = np.isfinite(better) & np.isfinite(worse)
    agrees = (better > worse) + 0.5 * (better == worse)
    right += float(agrees[known].sum())
    scored += float(known.sum())
  return {'gold_agrees': round(right / scored, 4)} if scored else {}


def over_batches(batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Facts of a stage from those of its batches: of Means the mean over all."""
  found: dict[str, Any] = {}
  for facts in batches:
    for name, fact in facts.items():
      if isinstance(fact, list):
        before = found.get(name, [0.0, 0.0])
        fact = [a + b for a, b in zip(before, fact, strict=True)]
      found[name] = fact
  return {
    name: fact[0] / fact[1] if isinstance(fact, list) and fact[1] else fact
    for name, fact in found.items()
    if not isinstance(fact, list) or fact[1]
  }


def none(name: str, stage: DatasetStage, written: WrittenBatches) -> str:
  """The error of a stage that made nothing of all its data."""
  facts = over_batches([batch['facts'] for batch in written.batches])
  if unscored := written.unscored:
    why = f'{unscored} responses had no score: look at what their judge says'
  elif advice := getattr(stage.config, 'when_none', None):
    why = advice(
      facts, own=f'stages.{name}.config', drawing=f'stages.{stage.data}.config'
    )
  else:
    why = f'look at what stages.{name}.config keeps'
  return (
    f'stage {name!r} wrote no record out of {written.total} of '
    f'{stage.data!r}: {why}'
  )


def too_few(name: str, stage: DatasetStage, written: WrittenBatches) -> str:
  """The error of a stage that would never end."""
  asked, found = written.asked, written.found
  if unscored := written.unscored:
    return (
      f'stage {name!r} asked {asked} prompts and made {found} records: '
      f'{unscored} responses had no score; look at what its judge says of them'
    )
  if stage.policy is None:
    return (
      f'stage {name!r} went over {asked} records of {stage.data!r} and made '
      f'{found} of them; look at what its config asks of a record'
    )
  return (
    f'stage {name!r} asked {asked} prompts and could rank {found} of their '
    f'answers; does whoever ranks them give no verdict, or is {stage.policy!r} '
    'so sure that it answers the same twice? Sample at a higher temperature'
  )
