"""Running a stage that writes a dataset, going on where a file breaks off."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import progress
from rlhf_jax.experiment import records as lines
from rlhf_jax.experiment import store
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.model_queries import ModelQueries
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import DatasetStage, RecordBatch
from rlhf_jax.storage import files, seals
from rlhf_jax.training import metrics, stopping
from rlhf_jax.types import Comparison, Mean, Record, Reward

MOST_ASKED = 20  # Prompts asked for each record, before a stage gives up.


def write(run: Run, name: str) -> dict[str, Any]:
  """Writes records.jsonl of a dataset stage. Returns facts for people."""
  stage: DatasetStage = run.experiment.stages[name]
  config, folder = stage.config, run.folders[name].path
  examples, counts = run.data.encode_all(run.data.records(stage.data))
  facts = run.tell_counts(name, counts)
  partial = folder / store.PARTIAL_RECORDS
  # One line a batch, so that a line cut off by a kill costs one batch.
  fields = ('records', 'facts', 'unscored')
  done = metrics.read_jsonl(partial, fields) if partial.exists() else []
  files.write_lines(partial, done)
  model_queries = ModelQueries(
    name,
    stage,
    examples,
    data=run.data,
    models=run.models(stage.frozen.get('reward'), stage=name),
    trained=run.trained,
    key_of=run.key,
  )
  size = model_queries.batch_size
  number, found = len(done), sum(len(row['records']) for row in done)
  shown = progress.Progress(
    name,
    config.count or len(examples),
    start=found if config.count else asked_by(config, size, examples, number),
    out=run.console,
  )
  with jax.set_mesh(run.mesh):
    while not finished(config, size, examples, number, found):
      records, queries = model_queries.batch(number)
      with scoring.during(f'stage {name!r}'):
        written = stage.write(records, queries, config=config)
      made = list(map(lines.row, written))
      own = plain(written.facts if isinstance(written, RecordBatch) else {})
      done.append(
        {'records': made, 'facts': own, 'unscored': model_queries.unscored}
      )
      files.append_line(partial, done[-1])
      number, found = number + 1, found + len(made)
      asked = asked_by(config, size, examples, number)
      if config.count and asked > MOST_ASKED * max(found, size):
        unscored = sum(row['unscored'] for row in done)
        raise ExperimentError(too_few(name, stage, asked, found, unscored))
      shown.show(min(found, config.count) if config.count else asked, {})
      stopping.check()
  rows = [line for row in done for line in row['records']][: config.count]
  unscored = sum(row['unscored'] for row in done)
  if not rows:
    raise ExperimentError(none(name, stage, len(examples), unscored))
  path = folder / store.RECORDS
  lines.write(path, rows)
  asked = asked_by(config, size, examples, number)
  facts |= over_batches([row['facts'] for row in done])
  if unscored:
    facts['unscored_responses'] = unscored
  left_out = said_of(facts)
  if left_out:
    run.tell(name, f'{" and ".join(left_out)}: left out')
  with scoring.during(f'gold of stage {name!r}'):
    facts |= agreement(run.corpus.gold, lines.read(path))
  counted = {'records': len(rows), 'asked': asked}
  return facts | counted | {'checksum': seals.checksum(path)}


def said_of(facts: Mapping[str, Any]) -> list[str]:
  """What nobody could score or decide on, in words."""
  unscored, undecided = map(
    facts.get, ('unscored_responses', 'undecided_share')
  )
  said = [f'{unscored} responses could not be scored'] if unscored else []
  said += [f'{undecided:.1%} of pairs had no verdict'] if undecided else []
  return said


def agreement(
  gold: Reward | None, records: Sequence[Record]
) -> dict[str, float]:
  """How often gold ranks the first of two responses above the second.

  Equal ones count half. Nothing where no gold is known, or there are no pairs
  that it could score.
  """
  pairs = [r for r in records if isinstance(r, Comparison)]
  pairs = [r for r in pairs if len(r.responses) == 2]
  if gold is None or not pairs:
    return {}
  asked = [r.prompt for r in pairs for _ in r.responses]
  texts = [text for r in pairs for text in r.responses]
  better, worse = scoring.ask(gold, asked, texts).reshape(-1, 2).T
  scored = np.isfinite(better) & np.isfinite(worse)
  right = (better > worse) + 0.5 * (better == worse)
  if not scored.any():
    return {}
  return {'gold_agrees': round(float(right[scored].mean()), 4)}


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
  """Facts of a batch as JSON; a Mean as its total and weight."""
  return {
    name: [float(fact.total), float(fact.weight)]
    if isinstance(fact, Mean)
    else fact
    for name, fact in facts.items()
  }


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


def asked_by(config, size, examples, number) -> int:
  """How many records the batches before this one, of `size`, went over."""
  asked = number * size
  return asked if config.count else min(asked, len(examples))


def finished(config, size, examples, number, found) -> bool:
  """Whether there are `count` records or, without one, all were asked once."""
  if config.count is None or config.batch_size is None:
    return asked_by(config, size, examples, number) >= len(examples)
  return found >= config.count


def none(name, stage, count, unscored) -> str:
  """What is said of a stage that made nothing of all its data."""
  why = 'look at what its config keeps'
  if unscored:
    why = f'{unscored} responses had no score: look at what their judge says'
  return (
    f'stage {name!r} wrote no record out of {count} of {stage.data!r}; {why}'
  )


def too_few(name, stage, asked, found, unscored) -> str:
  """What is said of a stage that would never end."""
  if unscored:
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
