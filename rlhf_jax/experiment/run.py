"""Running an experiment: every stage in order, then measure and report."""

import contextlib
import os
import pathlib
import textwrap
import time
from collections.abc import Sequence
from typing import TextIO

from rlhf_jax import processes, progress, sharding
from rlhf_jax.addressing import describe, flatten
from rlhf_jax.evaluation import report
from rlhf_jax.experiment import (
  dataset_validation,
  device_rows,
  given_models,
  measuring,
  provenance,
  running,
  store,
)
from rlhf_jax.experiment.addresses import stage_addresses, stage_settings
from rlhf_jax.experiment.definition import (
  Experiment,
  ExperimentError,
  policy_variants,
)
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.experiment.pretrained import with_text_rewards
from rlhf_jax.stages import Stage
from rlhf_jax.storage import files, seals
from rlhf_jax.training import stopping
from rlhf_jax.training.metrics import MetricsWriter

STAGES_DIR = pathlib.Path('runs/stages')
SHOWN_DIFFERENCES = 3
# Values of an experiment that say where it runs: it goes on elsewhere, too.
PLACED = ('mesh',)
# Values that change nothing of its numbers, or of these the rounding.
PRESENTED = (*PLACED, 'contrasts', 'title', 'background', 'max_rows')


def run(
  experiment: Experiment,
  out: str | pathlib.Path,
  *,
  stages_dir: str | pathlib.Path = STAGES_DIR,
  fresh: bool = False,
  writers: Sequence[MetricsWriter] = (),
  console: TextIO | None = None,
  made: Sequence[str] = (),
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
    made: lines on how the run was asked for, for its report.

  Returns:
    What results.json says; shown, it is the table.

  Raises:
    ExperimentError: the experiment cannot be run as it is written, or `out`
      holds the results of another one.
    Stopped: Ctrl-C; the same call goes on from there.
    DamagedError: a file of a stage is not what was written.
    StorageError: a file could not be written.
  """
  out, console = pathlib.Path(out), console or processes.output()
  processes.by_first(lambda: _check_free(experiment, out))
  with stopping.on_interrupt():
    ready = prepare(experiment, stages_dir, writers=writers, console=console)
    processes.by_first(lambda: _begin(out, experiment))
    if fresh:
      clear(ready)
    ready.tell('run', provenance.header(ready))
    link(out / 'stages', 'data', ready.folders['data'].path)
    return _made_and_measured(ready, out, made)


def _begin(out: pathlib.Path, experiment: Experiment) -> None:
  files.make_folder(out)
  files.write_json(out / 'config.json', describe(experiment))


def _made_and_measured(run: Run, out: pathlib.Path, made: Sequence[str]):
  """Makes the stages one after the other, and measures what they made."""
  seconds, spent, stages = {}, {}, run.experiment.stages
  # Held to the end: what follows reads the stages.
  with contextlib.ExitStack() as held:
    for number, name in enumerate(stages, 1):
      run.tell(name, f'stage {number} of {len(stages)}')
      spent[name] = make(run, name, held)
      link(out / 'stages', name, run.folders[name].path)
      seconds[name] = run.folders[name].seconds()
    began = time.perf_counter()
    results = measuring.measure(
      run,
      out,
      made=[*made, *provenance.lines(run)],
      stages=provenance.stages(run, seconds),
    )
  spent['evaluation'] = time.perf_counter() - began
  said = '  '.join(f'{k} {s:.0f} s' for k, s in spent.items() if s >= 0.5)
  # A notebook shows what is returned, which is the table and the plots.
  table = '' if progress.in_notebook(run.console) else f'{results.table}\n\n'
  print(f'\n{table}', end='', file=run.console)
  said = f'time: {said}  in all {sum(spent.values()):.0f} s'
  print(textwrap.fill(said, progress.width(run.console)), file=run.console)
  print(f'report: {out / "report.md"}', file=run.console, flush=True)
  return results


def prepare(
  experiment: Experiment,
  stages_dir: str | pathlib.Path,
  *,
  writers: Sequence[MetricsWriter] = (),
  console: TextIO | None = None,
) -> Run:
  """Loads an experiment's data and finds where its stages are.

  Raises:
    ExperimentError: the experiment cannot be run as it is written.
  """
  folders = store.Folders(
    root=pathlib.Path(stages_dir),
    addresses=stage_addresses(experiment),
    settings=stage_settings(experiment),
    console=console or processes.output(),
  )
  processes.check_same('experiment', sorted(folders.addresses.items()))
  processes.check_shared(folders.root)
  experiment = with_text_rewards(experiment)
  with folders.lock('data').alone():
    corpus = processes.in_turn(
      lambda: experiment.data.load(folders['data'].path)
    )
  kinds = dataset_validation.check_datasets(experiment.stages, corpus.datasets)
  dataset_validation.check_evaluation(
    experiment.evaluation, corpus.datasets, kinds
  )
  if corpus.tokenizer.vocab_size > experiment.model.vocab_size:
    raise ExperimentError(
      f'the tokenizer has {corpus.tokenizer.vocab_size} tokens and the model '
      f'only {experiment.model.vocab_size}; raise model.vocab_size'
    )
  mesh = sharding.make_mesh(experiment.mesh)
  for name, stage in experiment.stages.items():
    if isinstance(stage, Stage):
      device_rows.check(
        name, stage, mesh.shape, kv_heads=experiment.model.kv_heads
      )
  run = Run(
    experiment=experiment,
    folders=folders,
    corpus=corpus,
    mesh=mesh,
    console=folders.console,
    writers=writers,
  )
  given_models.check_given(
    run.trained,
    policy_variants(experiment),
    experiment.evaluation.scored_by,
  )
  for note in corpus.notes:
    run.tell('data', note)
  return run


def check_same(experiment: Experiment, out: pathlib.Path) -> None:
  """Refuses to go on with a folder that another config made.

  Raises:
    ExperimentError: naming the first values that differ.
  """
  if not (out / 'config.json').exists():
    raise ExperimentError(
      f'{out} holds no config.json, so there is nothing to resume; give the '
      f'--out of an earlier run'
    )
  try:
    changed = _differing(experiment, out / 'config.json', but=PLACED)
  except seals.DamagedError as e:
    raise ExperimentError(
      f'{out / "config.json"} is damaged, so it does not say which run is to '
      f'be resumed; leave --resume out and give --out {out}: stages that are '
      'done are kept'
    ) from e
  if changed:
    raise ExperimentError(
      f'{out} was made by another config: {changed}; leave --resume out to '
      'start anew'
    )


def _check_free(experiment: Experiment, out: pathlib.Path) -> None:
  """Refuses to write over the results of other settings."""
  path = out / 'config.json'
  if not path.exists():
    return
  try:
    changed = _differing(experiment, path, but=PRESENTED)
  except seals.DamagedError:
    return  # Nobody can tell; it is written anew.
  if changed:
    raise ExperimentError(
      f'{out} holds the results of other settings: {changed}; give another '
      'folder for the results (--out), or remove this one: stages that are '
      'done are kept elsewhere'
    )


def _differing(experiment, path, *, but) -> str:
  """The first values that a config.json has otherwise, in words; '' if none.

  Names whose first word is in `but` do not count.
  """
  then = flatten(seals.read_json(path, delete=path))
  now = flatten(describe(experiment))
  changed = [
    f'{name} was {then.get(name)} and is {now.get(name)}'
    for name in sorted({*then, *now})
    if then.get(name) != now.get(name) and name.split('.')[0] not in but
  ]
  more = len(changed) - SHOWN_DIFFERENCES
  said = '; '.join(changed[:SHOWN_DIFFERENCES])
  return said + (f'; and {more} more' if more > 0 else '')


def clear(run: Run) -> None:
  """Clears every stage, each once no other run needs it.

  Nothing is held while it waits, so that runs that clear each other's stages,
  in whatever order, do not wait for each other for ever.
  """
  for name in run.experiment.stages:
    with run.folders.lock(name).alone():
      processes.by_first(run.folders[name].clear)


def make(run: Run, name: str, held: contextlib.ExitStack) -> float:
  """Makes a stage unless it is done; `held` then has its lock, shared.

  Returns:
    The seconds it took.
  """
  lock = held.enter_context(run.folders.lock(name))
  folder, seconds = run.folders[name], 0.0
  lock.share()
  while not folder.done:
    lock.alone()
    processes.by_first(lambda: files.sweep(folder.path))
    if not folder.done:
      seconds += running.run_stage(run, name)
    lock.share()  # Between the two, another may clear it.
  return seconds or running.run_stage(run, name)


def link(folder: pathlib.Path, name: str, target: pathlib.Path) -> None:
  """Makes OUT/stages/<name> lead to the stage's folder."""
  processes.by_first(lambda: _link(folder, name, target))


def _link(folder, name, target):
  files.make_folder(folder)
  path = folder / name
  new = files.partial_of(path)
  try:
    with files.naming(path):
      new.symlink_to(os.path.relpath(target.absolute(), folder.absolute()))
      os.replace(new, path)
  finally:
    new.unlink(missing_ok=True)
