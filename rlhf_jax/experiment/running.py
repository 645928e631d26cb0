"""Running a stage: training it, or writing its dataset, from where it stood."""

import functools
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import jax
import jax.numpy as jnp

from rlhf_jax import sharding
from rlhf_jax.addressing import describe
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment import reference_logps, sample_log, store, writing
from rlhf_jax.experiment.chain import RULES, Chain, print_counts
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.storage import files
from rlhf_jax.training import checkpoints, loop, metrics
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Mean, TrainState, WithExtra

# What the console shows of a row, where the row has it.
SHOWN = (
  'nll_per_token',
  'accuracy',
  'margin',
  'score',
  'gold',
  'kl',
  'response_length',
  'entropy',
)
SAMPLE_LOGS = 4  # How often a stage writes samples for people.


def run_stage(chain: Chain, name: str) -> float:
  """Runs a stage unless it is done. Returns the seconds it took."""
  folder, stage = chain.folder(name), chain.experiment.stages[name]
  described = describe(stage)
  if folder.done:
    spent = folder.seconds()
    tidy(folder, stage, described)
    print(
      f'{name:>13}  done before, in {spent:.0f} s: {folder.path}',
      file=chain.console,
      flush=True,
    )
    return 0.0
  for what in folder.in_place_of(chain.settings[name]):
    print(f'{name:>13}  {what}', file=chain.console, flush=True)
  began = time.perf_counter()
  files.make_folder(folder.path)
  files.write_json(folder.path / store.CONFIG, described)
  run = writing.write if isinstance(stage, DatasetStage) else train
  facts = run(chain, name)
  spent = time.perf_counter() - began
  known = {'settings': chain.settings[name], 'seconds': round(spent, 2)}
  folder.finish({'stage': name} | known | facts)
  tidy(folder, stage, described)
  return spent


def tidy(folder: store.Folder, stage: Stage | DatasetStage, config: Any):
  """Leaves of a stage that is done what it hands on."""
  keep = isinstance(stage, Stage) and stage.keep_checkpoint
  folder.tidy(config=config, keep_checkpoint=keep)


def train(chain: Chain, name: str) -> dict[str, Any]:
  """Trains a stage from its newest checkpoint, or from the start."""
  stage: Stage = chain.experiment.stages[name]
  folder = chain.folder(name).path
  config = stage.config
  records = chain.records(stage.data)
  models = chain.models(stage.frozen, records)
  frozen = chain.frozen(stage)
  optimizer = config.make_optimizer()
  init_key, run_key = jax.random.split(chain.key(name))
  examples, counts = chain.encode(records)
  if stage.precompute is not None:
    examples = reference_logps.attach(chain, name, examples, frozen, models)
    del frozen['reference']
  facts = print_counts(chain, name, counts)
  batches = MeshBatches(chain, name, examples, len(records))
  facts |= batches.facts
  alarm = AlarmListener(stage.alarm, config.steps, chain.console)
  unscored = UnscoredShare(chain.console)
  saved = checkpoints.Checkpoints(
    folder / store.CHECKPOINTS, meta={'address': chain.addresses[name]}
  )
  with jax.set_mesh(chain.mesh), saved:
    state = saved.restore(initial_state(chain, stage, optimizer, init_key))
    step = int(state.step)
    if step:
      print(f'{name:>13}  resumed at step {step}', file=chain.console)
    writer = metrics.JsonlWriter(folder / store.METRICS, start=step)
    replay(folder / store.METRICS, name, (alarm, unscored))
    samples = sample_log.SampleLog(folder / store.SAMPLES, start=step)
    state = loop.train(
      state,
      frozen,
      batches,
      run_key,
      update=functools.partial(
        jitted(stage.update, donate=(0,)),
        models=models,
        optimizer=optimizer,
        config=config,
      ),
      collect=stage.collect and collector(chain, name, models, records),
      log_samples=sample_log.sample_logger(chain, name, models, samples),
      saved=saved,
      writers=(writer, alarm, unscored, *chain.writers),
      loop=loop.Loop(
        stage=name,
        steps=config.steps,
        log_every=stage.log_every,
        checkpoint_every=stage.checkpoint_every,
        sample_every=math.ceil(config.steps / SAMPLE_LOGS),
        show=SHOWN,
        console=chain.console,
      ),
    )
    writer.close()
  checkpoints.save_params(
    folder / store.PARAMS,
    state.params,
    also=[folder / copied for copied in store.COPIED],
  )
  if alarm.sentence:
    facts['alarm'] = alarm.sentence
  return {'steps': config.steps} | facts | unscored.facts()


def replay(
  path: pathlib.Path, name: str, listeners: Sequence[metrics.Writer]
) -> None:
  """Lets listeners hear the rows of metrics that were written before a stop."""
  for row in metrics.read_jsonl(path):
    step = row.pop('step')
    for listener in listeners:
      listener.write(name, step, metrics.plain(row))


def initial_state(chain, stage, optimizer, key) -> TrainState:
  """The state before the first update, each array in its shards."""
  start = {r: chain.params(source, r) for r, source in stage.start.items()}
  init = chain.initialiser(stage)
  extra = getattr(stage.config, 'initial_extra', dict)()

  def create(key, start):
    return training.create(init(key, start), optimizer, extra)

  return sharding.init_sharded(create, RULES, chain.mesh, key, start)


class MeshBatches:
  """A stage's batches, each laid out over the mesh.

  With extra data, a batch of that is joined to each.

  Attributes:
    facts: what became of the extra data.
  """

  def __init__(
    self, chain: Chain, name: str, examples: Sequence[Example], records: int
  ):
    stage = chain.experiment.stages[name]

    def seed(purpose):
      return int(jax.random.bits(chain.key(f'{name} {purpose}')) >> 1)

    shared = {
      'pad_id': chain.corpus.tokenizer.pad_id,
      'limits': chain.experiment.limits,
      'steps': stage.config.steps,
    }
    self._mesh, self._extra, self.facts = chain.mesh, None, {}
    self._batches = Batches(
      examples,
      batch_size=stage.config.batch_size,
      seed=seed('order'),
      curriculum=stage.curriculum,
      records=records if stage.collect else None,
      **shared,
    )
    if stage.extra_data is not None:
      others, counts = chain.encode(chain.records(stage.extra_data))
      facts = print_counts(chain, f'{name}: {stage.extra_data}', counts)
      self.facts = {f'{stage.extra_data}_{k}': v for k, v in facts.items()}
      self._extra = Batches(
        others,
        batch_size=stage.config.extra_batch_size,
        seed=seed('order beside'),
        **shared,
      )

  def starting_at(self, step: int):
    """The batches of `step`, `step + 1`, …"""
    batches = self._batches.starting_at(step)
    if self._extra is not None:
      both = zip(batches, self._extra.starting_at(step), strict=False)
      batches = (WithExtra(*pair) for pair in both)
    for batch in batches:
      yield sharding.place_batch(batch, self._mesh)


class AlarmListener:
  """Listens to a stage's metrics; `sentence` is its alarm's first."""

  def __init__(self, alarm: Callable | None, steps: int, console: TextIO):
    self._alarm, self._steps, self._console = alarm, steps, console
    self.sentence: str | None = None

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    """Tells the console what the alarm says, the first time that it does."""
    if self._alarm is None or self.sentence is not None:
      return
    self.sentence = self._alarm(row, step / self._steps)
    if self.sentence is not None:
      line = f'{"warning":>13}  {stage}: {self.sentence}'
      print(line, file=self._console, flush=True)

  def close(self) -> None:
    """Nothing is held open."""


class UnscoredShare:
  """Watches the share of responses that nobody could score, and tells once."""

  def __init__(self, console: TextIO):
    self._console, self._shares = console, []

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    """Takes a row of metrics, with `unscored` where responses are scored."""
    share = row.get('unscored', math.nan)
    if math.isnan(share):
      return
    if share and not any(self._shares):
      print(
        f'{"warning":>13}  {stage}: {share:.1%} of the responses up to step '
        f'{step} could not be scored and are left out; `unscored` in '
        'metrics.jsonl has the share',
        file=self._console,
        flush=True,
      )
    self._shares.append(share)

  def facts(self) -> dict[str, float]:
    """The share over all steps, where it is not 0."""
    if not any(self._shares):
      return {}
    return {'unscored_share': round(sum(self._shares) / len(self._shares), 4)}

  def close(self) -> None:
    """Nothing is held open."""


def collector(chain, name, models, records):
  """(state, frozen, prompts, key) -> batch, metrics, gold included if known."""
  stage = chain.experiment.stages[name]

  def collect(state, frozen, prompts, key):
    with scoring.during(f'stage {name!r}, step {int(state.step) + 1}'):
      batch, measured = stage.collect(
        state, frozen, prompts, key, models=models, config=stage.config
      )
      if chain.corpus.gold is not None:
        measured |= {'gold': gold_of(frozen, batch.rollouts)}
    return batch, measured

  def gold_of(frozen, rollouts):
    scorer = chain.models({'reward': chain.corpus.gold}, records).scorer
    gold = scorer(frozen, rollouts)
    counted = jnp.any(rollouts.response_mask, axis=-1) & jnp.isfinite(gold)
    return Mean.of(gold, counted)

  return collect
