"""Running a stage: training it, or writing its dataset, from where it stood."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax import processes
from rlhf_jax.addressing import describe
from rlhf_jax.experiment import (
  adapters,
  batching,
  beginning,
  dataset_writing,
  sample_log,
  store,
)
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.pretrained import described
from rlhf_jax.feedback import scoring
from rlhf_jax.models import last_token
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.storage import files
from rlhf_jax.training import checkpoints, loop, metrics
from rlhf_jax.training.compile import make_room
from rlhf_jax.training.learner import Learner, learner_of
from rlhf_jax.types import Mean

# What the console shows of a row, where the row has it.
SHOWN = (
  'nll_per_token',
  'accuracy',
  'margin',
  'log_ratio_gap',
  'log_odds',
  'score',
  'gold',
  'kl',
  'response_length',
  'entropy',
)
SAMPLE_LOGS = 4  # How often a stage writes samples for people.


def run_stage(run: Run, name: str) -> float:
  """Runs a stage unless it is done. Returns the seconds it took."""
  folder, stage = run.folders[name], run.experiment.stages[name]
  settings, said = run.folders.settings[name], described(stage)
  keep = isinstance(stage, Stage) and stage.keep_checkpoint
  if folder.done:
    spent = folder.seconds()
    processes.by_first(lambda: folder.tidy(config=said, keep_checkpoint=keep))
    run.tell(name, f'done before, in {spent:.0f} s: {folder.path}')
    return 0.0
  for what in processes.by_first(lambda: folder.in_place_of(settings)):
    run.tell(name, what)
  began = time.perf_counter()
  make_room()
  processes.by_first(lambda: folder.begin(said))
  with run.trained.while_needed():
    work = dataset_writing.write if isinstance(stage, DatasetStage) else train
    facts = work(run, name)
  spent = time.perf_counter() - began
  known = {'stage': name, 'settings': settings, 'seconds': round(spent, 2)}
  folder.finish(known | facts)
  processes.by_first(lambda: folder.tidy(config=said, keep_checkpoint=keep))
  return spent


def train(run: Run, name: str) -> dict[str, Any]:
  """Trains a stage from its newest checkpoint, or from the start."""
  stage: Stage = run.experiment.stages[name]
  folder, config = run.folders[name].path, stage.config
  records = run.data.records(stage.data)
  data = run.trained.read_by(run.data, name, stage.produces)
  reward = run.scored_by(stage.frozen.get('reward'), data)
  models = run.models(reward, records, stage=name)
  optimizer = config.make_optimizer()
  learner = learner_of(stage, config, models, optimizer=optimizer, donate=True)
  init_key, run_key = jax.random.split(run.key(name))
  drawn = functools.partial(
    beginning.initial_params, run.trained, name, init_key
  )
  batches, facts, spread = batching.batches_of(run, name, data, drawn, models)
  unread = {'reference'} if stage.precompute is not None else set()
  if callable(reward):  # It reads its parameters itself, where it has some.
    unread.add('reward')
  watch = Watch(stage, run.tell)
  saved = checkpoints.Checkpoints(
    folder / store.CHECKPOINTS, meta={'address': run.folders.addresses[name]}
  )
  with jax.set_mesh(run.mesh), saved:
    state, frozen = beginning.begun(
      run.trained, name, optimizer, init_key, saved=saved, unread=unread
    )
    frozen |= spread
    step = int(state.step)
    if step:
      run.tell(name, f'resumed at step {step}')
    # The first process's; they go on at the step.
    writer = processes.only_first(
      lambda: metrics.JsonlWriter(folder / store.METRICS, start=step)
    )
    samples = processes.only_first(
      lambda: sample_log.SampleLog(folder / store.SAMPLES, start=step)
    )
    before = processes.by_first(
      lambda: metrics.read_jsonl(folder / store.METRICS)
    )
    for row in before:  # Of before a stop.
      watch.write(name, row.pop('step'), metrics.plain(row))
    state = loop.train(
      state,
      frozen,
      batches,
      run_key,
      update=learner.update,
      collect=learner.collect and collector(run, name, learner, records),
      log_samples=sample_log.sample_logger(run, name, models, frozen, samples),
      saved=saved,
      writers=(writer, watch, *run.writers) if writer else (watch,),
      loop=loop.Loop(
        stage=name,
        steps=config.steps,
        log_every=stage.log_every,
        checkpoint_every=stage.checkpoint_every,
        sample_every=math.ceil(config.steps / SAMPLE_LOGS),
        show=SHOWN,
        console=run.console,
      ),
    )
  if writer is not None:
    writer.close()
  _save_params(run, name, state.params, frozen, data.corpus.tokenizer)
  return {'steps': config.steps} | facts | watch.facts()


def _save_params(run: Run, name: str, params, frozen, tokenizer) -> None:
  """Saves what was trained, and what its parameters do not say themselves."""
  stage, folder = run.experiment.stages[name], run.folders[name].path
  reading = run.trained.reading(name, stage.produces)
  base = None if stage.lora is None else adapters.described(frozen['base'])

  def describe_params():
    if reading is not last_token:
      files.write_json(folder / store.READING, describe(reading))
    if base is not None:
      files.write_json(folder / store.BASE, base)
    store.write_vocabulary(folder, tokenizer)

  processes.only_first(describe_params)
  checkpoints.save_params(
    folder / store.PARAMS,
    params,
    also=[folder / copied for copied in store.COPIED],
  )


class Watch:
  """Watches a stage's metrics: its alarm, and the share of unscored responses.

  Each is printed the first time, and returned among the facts.
  """

  def __init__(self, stage: Stage, tell: Callable[[str, str], None]):
    self._alarm, self._steps = stage.alarm, stage.config.steps
    self._tell, self._said, self._shares = tell, None, []

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    """Takes a row, with `unscored` where responses are scored."""
    if self._alarm is not None and self._said is None:
      self._said = self._alarm(row, step / self._steps)
      if self._said is not None:
        self._tell('warning', f'{stage}: {self._said}')
    share = row.get('unscored', math.nan)
    if math.isnan(share):
      return
    if share and not any(self._shares):
      self._tell(
        'warning',
        f'{stage}: {share:.1%} of the responses up to step {step} could not be '
        'scored and are left out; `unscored` in metrics.jsonl has the share',
      )
    self._shares.append(share)

  def close(self) -> None:
    """Nothing is held open."""

  def facts(self) -> dict[str, Any]:
    """What the alarm said, and the share over all steps, where it is not 0."""
    facts = {} if self._said is None else {'alarm': self._said}
    if any(self._shares):
      share = sum(self._shares) / len(self._shares)
      facts['unscored_share'] = round(share, 4)
    return facts


def collector(run: Run, name: str, learner: Learner, records: Sequence[Any]):
  """(state, frozen, prompts, key) -> batch, metrics, gold included if known."""
  score = None
  if run.corpus.gold is not None:
    decode = run.corpus.tokenizer.decode_all
    score = scoring.text_scorer(run.corpus.gold, records, decode)

  def collect(state, frozen, prompts, key):
    with scoring.during(f'stage {name!r}, step {int(state.step) + 1}'):
      batch, measured = learner.collect(state, frozen, prompts, key)
      if score is not None:
        gold = score(frozen, batch.rollouts)
        written = jnp.any(batch.rollouts.response_mask, axis=-1)
        measured |= {'gold': Mean.of(gold, written & jnp.isfinite(gold))}
    return batch, measured

  return collect
