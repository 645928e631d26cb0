"""Running a stage: training it, or writing its dataset, from where it stood."""

import functools
import json
import math
import time
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax import sharding
from rlhf_jax.data.batches import Batches
from rlhf_jax.experiment import chain as chains
from rlhf_jax.experiment import store
from rlhf_jax.experiment.chain import RULES, Chain
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.describe import describe
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.training import checkpoints, loop, metrics
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted, override
from rlhf_jax.types import Mean, TrainState

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
LOOKS = 4  # How often a stage writes samples for people.
LOOKED_AT = 8  # Prompts of each look.
MOST_ASKED = 20  # Prompts asked for each record, before a stage gives up.


def run_stage(chain: Chain, name: str) -> float:
  """Runs a stage unless it is done. Returns the seconds it took."""
  folder = chain.folder(name)
  if folder.done:
    spent = folder.facts()['seconds']
    print(
      f'{name:>13}  done before, in {spent:.0f} s: {folder.path}',
      file=chain.console,
      flush=True,
    )
    return 0.0
  began = time.perf_counter()
  stage = chain.experiment.stages[name]
  folder.path.mkdir(parents=True, exist_ok=True)
  store.write_json(folder.path / 'config.json', describe(stage))
  run = write_dataset if isinstance(stage, DatasetStage) else train
  facts = run(chain, name)
  spent = time.perf_counter() - began
  folder.finish({'stage': name, 'seconds': round(spent, 2)} | facts)
  return spent


def train(chain: Chain, name: str) -> dict[str, Any]:
  """Trains a stage from its newest checkpoint, or from the start."""
  stage: Stage = chain.experiment.stages[name]
  folder = chain.folder(name).path
  config = stage.config
  records = chain.records(stage.data)
  models = chain.models(stage.frozen, records)
  frozen = {
    role: chain.params(source, role)
    for role, source in stage.frozen.items()
    if isinstance(source, str)
  }
  optimizer = config.make_optimizer()
  init_key, run_key = jax.random.split(chain.key(name))
  batches = MeshBatches(chain, records, config.batch_size, name)
  saved = checkpoints.Checkpoints(
    folder / 'checkpoints', meta={'address': chain.addresses[name]}
  )
  with jax.set_mesh(chain.mesh), saved:
    state = saved.restore(initial_state(chain, stage, optimizer, init_key))
    step = int(state.step)
    if step:
      print(f'{name:>13}  resumed at step {step}', file=chain.console)
    writer = metrics.JsonlWriter(folder / 'metrics.jsonl', start=step)
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
      collect=stage.collect and collector(chain, stage, models, records),
      look=looker(chain, stage, models, folder),
      saved=saved,
      writers=(writer, *chain.writers),
      loop=loop.Loop(
        stage=name,
        steps=config.steps,
        log_every=stage.log_every,
        checkpoint_every=stage.checkpoint_every,
        sample_every=math.ceil(config.steps / LOOKS),
        show=SHOWN,
        console=chain.console,
      ),
    )
    writer.close()
  checkpoints.save_params(folder / 'params', state.params)
  return {'steps': config.steps} | batches.facts


def initial_state(chain, stage, optimizer, key) -> TrainState:
  """The state before the first update, each array in its shards."""
  start = {r: chain.params(source, r) for r, source in stage.start.items()}
  init = chain.initialiser(stage)
  extra = getattr(stage.config, 'initial_extra', dict)()

  def create(key, start):
    return training.create(init(key, start), optimizer, extra)

  return sharding.init_sharded(create, RULES, chain.mesh, key, start)


class MeshBatches:
  """A stage's batches, encoded once, each laid out over the mesh."""

  def __init__(self, chain: Chain, records, batch_size: int, name: str):
    examples, counts = chain.encode(records)
    self._mesh = chain.mesh
    self._batches = Batches(
      examples,
      batch_size=batch_size,
      seed=int(jax.random.bits(chain.key(f'{name} order')) >> 1),
      pad_id=chain.corpus.tokenizer.pad_id,
      limits=chain.experiment.limits,
    )
    self.facts = {k: v for k, v in counts._asdict().items() if v}
    said = ', '.join(
      f'{v} {k.replace("_", " ")}' for k, v in self.facts.items()
    )
    if said:
      print(f'{name:>13}  {said}', file=chain.console, flush=True)

  def starting_at(self, step: int):
    """The batches of `step`, `step + 1`, …"""
    for batch in self._batches.starting_at(step):
      yield sharding.place_batch(batch, self._mesh)


def collector(chain, stage, models, records):
  """(state, frozen, prompts, key) -> batch, metrics, gold included if known."""

  def collect(state, frozen, prompts, key):
    config = override(stage.config, state.extra)
    batch, measured = stage.collect(
      state.params, frozen, prompts, key, models=models, config=config
    )
    if chain.corpus.gold is not None:
      rollouts = batch.rollouts
      scorer = chain.models({'reward': chain.corpus.gold}, records).scorer
      measured |= {'gold': Mean.of(scorer(frozen, rollouts))}
    return batch, measured

  return collect


def looker(chain, stage, models, folder):
  """(state, step) -> None; appends samples of a policy to samples.txt."""
  if stage.produces != 'policy':
    return None
  records = chain.records(chain.experiment.evaluation.prompts)[:LOOKED_AT]
  examples, _ = chain.encode(records)
  prompts = prompt_batch(chain, examples, 0, len(examples))

  def look(state, step):
    params = chains.part(state.params, 'policy')
    rollouts = models.sampler(
      params,
      prompts,
      chain.key('look'),
      samples=1,
      sampling=Sampling(temperature=1.0),
    )
    with (folder / 'samples.txt').open('a') as file:
      file.write(f'--- step {step}\n')
      for example, (text,) in zip(examples, chain.texts(rollouts), strict=True):
        file.write(f'{example.prompt.text}\n  → {text}\n')

  return look


def prompt_batch(chain, examples, first: int, rows: int):
  """Prompts on the mesh, numbered from `first`, filled up to `rows`."""
  batch = chain.batch(examples, rows)
  return batch.replace(index=first + jnp.arange(rows, dtype=jnp.int32))


def write_dataset(chain: Chain, name: str) -> dict[str, Any]:
  """Writes the records of a dataset stage, going on where a file breaks off."""
  stage: DatasetStage = chain.experiment.stages[name]
  config, folder = stage.config, chain.folder(name).path
  examples, _ = chain.encode(chain.records(stage.data))
  params = chain.params(stage.policy, 'policy')
  models = chain.models()
  partial = folder / 'records.partial.jsonl'
  # One line a batch, so that a line cut off by a kill costs one batch.
  done = metrics.read_jsonl(partial) if partial.exists() else []
  partial.write_text(''.join(json.dumps(row) + '\n' for row in done))
  key, turn, found = chain.key(name), len(done), sum(map(len, done))
  progress = metrics.Progress(
    name, config.count, start=found, out=chain.console
  )
  with partial.open('a') as file, jax.set_mesh(chain.mesh):
    while found < config.count:
      first = turn * config.batch_size
      some = [
        examples[(first + i) % len(examples)] for i in range(config.batch_size)
      ]
      written = stage.write(
        params,
        prompt_batch(chain, some, first, config.batch_size),
        [example.prompt for example in some],
        key,
        models=models,
        decode=chain.texts,
        config=config,
      )
      rows = [chains.comparison_row(r) for r in written if r is not None]
      file.write(json.dumps(rows) + '\n')
      file.flush()
      done.append(rows)
      turn, found = turn + 1, found + len(rows)
      if turn * config.batch_size > MOST_ASKED * max(found, config.batch_size):
        raise ExperimentError(
          f'stage {name!r} asked {turn * config.batch_size} prompts and could '
          f'rank {found} of their answers; is {stage.policy!r} so sure that it '
          f'answers the same twice? Sample at a higher temperature'
        )
      progress.show(min(found, config.count), {})
  rows = [row for rows in done for row in rows][: config.count]
  final = folder / 'records.jsonl'
  staged = folder / 'records.whole.jsonl'
  staged.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  staged.replace(final)
  partial.unlink()
  return {'records': len(rows), 'asked': turn * config.batch_size}
