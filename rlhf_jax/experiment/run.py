"""Running an experiment: every stage in order, then measure and report."""

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from rlhf_jax import sharding
from rlhf_jax.addressing import describe, flatten
from rlhf_jax.evaluation import (
  findings,
  pages,
  pooling,
  report,
  summary,
  tables,
)
from rlhf_jax.experiment import (
  definition,
  locks,
  measuring,
  running,
  validation,
)
from rlhf_jax.experiment.addresses import stage_addresses, stage_settings
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.stages import Stage
from rlhf_jax.storage import files, seals
from rlhf_jax.training.metrics import Writer

STAGES_DIR = pathlib.Path('runs/stages')
SHOWN_DIFFERENCES = 3


def run(
  experiment: definition.Experiment,
  out: str | pathlib.Path,
  *,
  stages_dir: str | pathlib.Path = STAGES_DIR,
  fresh: bool = False,
  writers: Sequence[Writer] = (),
  console: TextIO | None = None,
) -> report.Results:
  """Runs what is not done of an experiment, and measures its policies.

  Args:
    experiment: what to run.
    out: folder of results.json, report.md, its plots, and links to the stages.
    stages_dir: where stages are kept, for this experiment and for others that
      share them.
    fresh: do stages again that are done already.
    writers: further places that metrics go to.
    console: where progress is printed; standard output by default.

  Returns:
    What results.json says; shown, it is the table.

  Raises:
    ExperimentError: the experiment cannot be run as it is written.
    DamagedError: a file of a stage is not what was written.
    StorageError: a file could not be written.
  """
  out, console = pathlib.Path(out), console or sys.stdout
  chain = prepare(experiment, stages_dir, writers=writers, console=console)
  files.make_folder(out)
  files.write_json(out / 'config.json', describe(experiment))
  if fresh:
    clear(chain)
  seconds = {}
  # Held to the end: what follows reads the stages.
  with contextlib.ExitStack() as held:
    for name in experiment.stages:
      seconds[name] = make(chain, name, held)
      link(out / 'stages', name, chain.folder(name).path)
    began = time.perf_counter()
    results = measure(chain, out)
  seconds['evaluation'] = time.perf_counter() - began
  print(f'\n{results.table}\n', file=console)
  spent = '  '.join(f'{name} {s:.0f} s' for name, s in seconds.items())
  print(f'time: {spent}  in all {sum(seconds.values()):.0f} s', file=console)
  print(f'report: {out / "report.md"}', file=console, flush=True)
  return results


def prepare(
  experiment: definition.Experiment,
  stages_dir: str | pathlib.Path,
  *,
  writers: Sequence[Writer] = (),
  console: TextIO | None = None,
) -> Chain:
  """Loads an experiment's data and finds where its stages are."""
  stages_dir = pathlib.Path(stages_dir)
  addresses = stage_addresses(experiment)
  console = console or sys.stdout
  with locks.alone(stages_dir, addresses['data'], who='data', console=console):
    corpus = experiment.data.load(stages_dir / addresses['data'])
  kinds = validation.check_datasets(experiment.stages, corpus.datasets)
  validation.check_evaluation(experiment.evaluation, corpus.datasets, kinds)
  if corpus.tokenizer.vocab_size > experiment.model.vocab_size:
    raise definition.ExperimentError(
      f'the tokenizer has {corpus.tokenizer.vocab_size} tokens and the model '
      f'only {experiment.model.vocab_size}; raise model.vocab_size'
    )
  for note in corpus.notes:
    print(f'{"data":>13}  {note}', file=console, flush=True)
  return Chain(
    experiment=experiment,
    addresses=addresses,
    settings=stage_settings(experiment),
    stages_dir=stages_dir,
    corpus=corpus,
    mesh=sharding.make_mesh(experiment.mesh),
    console=console,
    writers=writers,
  )


def measure(chain: Chain, out: pathlib.Path) -> report.Results:
  """Samples and scores every policy; writes the results."""
  how = chain.experiment.evaluation
  names = list(definition.policy_variants(chain.experiment))
  print(
    f'{"evaluation":>13}  {", ".join(names)} on {how.prompts}',
    file=chain.console,
    flush=True,
  )
  uncounted = measuring.left_out_of_evaluation(chain)
  for line in uncounted:
    print(f'{"warning":>13}  {line}', file=chain.console, flush=True)
  warnings = measuring.warnings(chain)
  for warning in warnings:
    print(f'{"warning":>13}  {warning}', file=chain.console, flush=True)
  samples = {name: measuring.answer(chain.apart(), name) for name in names}
  models = measuring.measure_on_policies(chain, samples)
  if how.comparisons:
    pairs = chain.records(how.comparisons)
    for model in measuring.reward_models(chain):
      measured = measuring.measure_pairs(chain.apart(), model, pairs)
      models[model, how.comparisons] = measured
  curves = measuring.learning_curves(chain)
  learnt_from = measuring.learnt_from(chain.experiment)
  contrasts = chain.experiment.contrasts
  pooled = pooling.pool(
    {chain.experiment.seed: samples}, against=how.against, contrasts=contrasts
  )
  found = findings.Findings(
    title=chain.experiment.title,
    seed=chain.experiment.seed,
    policies=summary.summarise(
      samples, against=how.against, learnt_from=learnt_from
    ),
    samples=samples,
    contrasts=pooled.contrasts,
    curves=curves,
    produces={
      name: stage.produces
      for name, stage in chain.experiment.stages.items()
      if isinstance(stage, Stage)
    },
    reward_curves=measuring.reward_curves(curves),
    reward_models=models,
    learnt_from=learnt_from,
    notes=[
      *chain.corpus.notes,
      *measuring.left_out(chain),
      *uncounted,
      *warnings,
    ],
  )
  table = report.write(out, found)
  if not models:
    return table
  rows = tables.reward_model_rows(found.telling_pairs())
  return (
    f'{table}\n\n{tables.plain(tables.narrowed(rows, pages.MODEL_COLUMNS))}'
  )


def check_same(experiment: definition.Experiment, out: pathlib.Path) -> None:
  """Refuses to go on with a folder that another config made.

  Raises:
    ExperimentError: naming the first values that differ.
  """
  path = pathlib.Path(out) / 'config.json'
  if not path.exists():
    raise definition.ExperimentError(
      f'{out} holds no config.json, so there is nothing to resume; give the '
      f'--out of an earlier run'
    )
  try:
    then = flatten(seals.read_json(path, delete=path))
  except seals.DamagedError as e:
    raise definition.ExperimentError(
      f'{path} is damaged, so it does not say which run is to be resumed; '
      f'leave --resume out and give --out {out}: stages that are done are kept'
    ) from e
  now = flatten(describe(experiment))
  changed = [
    f'{name} was {then.get(name)} and is {now.get(name)}'
    for name in sorted({*then, *now})
    if then.get(name) != now.get(name)
  ]
  if changed:
    more = len(changed) - SHOWN_DIFFERENCES
    raise definition.ExperimentError(
      f'{out} was made by another config: '
      + '; '.join(changed[:SHOWN_DIFFERENCES])
      + (f'; and {more} more' if more > 0 else '')
      + '; leave --resume out to start anew'
    )


def clear(chain: Chain) -> None:
  """Clears every stage, each once no other run needs it.

  Nothing is held while it waits, so that runs that clear each other's stages,
  in whatever order, do not wait for each other for ever.
  """
  for name in chain.experiment.stages:
    with locks.alone(
      chain.stages_dir, chain.addresses[name], who=name, console=chain.console
    ):
      chain.folder(name).clear()


def make(chain: Chain, name: str, held: contextlib.ExitStack) -> float:
  """Makes a stage unless it is done; `held` holds it then, beside others.

  Returns:
    The seconds it took.
  """
  lock = locks.Lock(
    chain.stages_dir, chain.addresses[name], who=name, console=chain.console
  )
  held.callback(lock.close)
  folder, seconds = chain.folder(name), 0.0
  lock.share()
  while not folder.done:
    lock.alone()
    files.sweep(folder.path)
    if not folder.done:
      seconds += running.run_stage(chain.apart(), name)
    lock.share()  # Between the two, another may clear it.
  return seconds or running.run_stage(chain.apart(), name)


def link(folder: pathlib.Path, name: str, target: pathlib.Path) -> None:
  """Makes OUT/stages/<name> lead to the stage's folder."""
  files.make_folder(folder)
  path = folder / name
  new = files.partial_of(path)
  try:
    with files.naming(path):
      new.symlink_to(os.path.relpath(target.absolute(), folder.absolute()))
      os.replace(new, path)
  finally:
    new.unlink(missing_ok=True)
