"""Experiments over seeds: `python -m launch.seeds FILE --seeds 0 1 2`.

Ends as `launch.train` does; a signal is passed on to the seeds side by side.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import pathlib
import sys

from launch import console, errors, joining, loading, memory, signals, train
from launch.tasks import Task, one_by_one, side_by_side
from rlhf_jax import progress
from rlhf_jax.storage import files

# What a line of the ledger is read for.
LEDGER_FIELDS = {'out': str, 'digest': str, 'date': str, 'seconds': float}


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.seeds',
    description='Run experiments over several seeds, and pool what they find.',
    epilog=(
      'What the ledger says is done is not run again. A signal is passed on to '
      'the seeds that run side by side. ' + signals.EPILOG
    ),
  )
  parser.add_argument(
    'files', nargs='+', metavar='FILE', help='experiments, Python files'
  )
  train.add_setting_arguments(parser)
  parser.add_argument(
    '--seeds', type=int, nargs='+', default=[0, 1, 2], help='(default: 0 1 2)'
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    help='folder of the results (default: as of launch.train); pooled, they '
    'are in its seeds-<seeds>; of several experiments, the folder of their '
    'folders',
  )
  parser.add_argument(
    '--jobs',
    type=int,
    default=1,
    help='how many seeds run side by side, each a process with its log in '
    'OUT/seed-<seed>/log.txt; on a TPU only 1 (default: 1)',
  )
  return parser.parse_args(arguments)


def tasks_of(file, options) -> list[Task]:
  """Every seed of an experiment."""
  from rlhf_jax.addressing import describe, digest
  from rlhf_jax.experiment import ExperimentError
  from rlhf_jax.experiment.addresses import stage_addresses

  module = loading.load(pathlib.Path(file))
  fields = dataclasses.fields(loading.settings(module))
  if 'seed' not in {field.name for field in fields}:
    raise ExperimentError(
      f'{file} cannot be run over seeds: its Settings have no field "seed"'
    )
  out = options.out or train.default_out(file, options.set)
  if options.out and len(options.files) > 1:
    out = options.out / train.short_name(file)
  tasks = []
  for seed in dict.fromkeys(options.seeds):
    experiment = loading.build(module, [*options.set, f'seed={seed}'])
    described = describe(experiment)
    # These are decided, and said, anew each time.
    del described['contrasts'], described['background']
    made = digest(described, stage_addresses(experiment))
    tasks.append(Task(file, seed, experiment, made, out / f'seed-{seed}'))
  return tasks


def ledger(options) -> pathlib.Path:
  """The file with a line for every task that was finished."""
  return (options.out or pathlib.Path('runs')) / 'ledger.jsonl'


def done_before(task, options) -> dict | None:
  """The ledger's line of a task whose results are all there still."""
  from rlhf_jax.experiment import answers

  # One that is damaged is left out: it is run again.
  lines = files.whole_rows(ledger(options), LEDGER_FIELDS)
  newest = {line['out']: line for line in lines}.get(str(task.out))
  if newest is None or newest['digest'] != task.digest:
    return None
  kept = answers.paths(task.experiment, options.stages).values()
  there = all(p.exists() for p in (task.out / 'results.json', *kept))
  return newest if there else None


def write_down(task, seconds, options) -> None:
  """Adds a line to the ledger."""
  found = json.loads((task.out / 'results.json').read_text())['policies']
  line = {
    'date': datetime.datetime.now().isoformat(timespec='seconds'),
    'file': task.file,
    'seed': task.seed,
    'out': str(task.out),
    'digest': task.digest,
    'seconds': round(seconds, 1),
    'win_rates': {name: policy['win_rate'] for name, policy in found.items()},
  }
  files.append_line(ledger(options), line)


def pool(done, failed, options) -> None:
  """Pools an experiment's seeds that are done, and prints the tables."""
  from rlhf_jax.evaluation import judges, pooling
  from rlhf_jax.experiment import answers, measuring

  samples = {}
  for task in done:
    kept = answers.paths(task.experiment, options.stages)
    samples[task.seed] = {k: answers.read(path, k) for k, path in kept.items()}
  experiment = done[0].experiment
  judge = experiment.evaluation.judge
  seeds = '-'.join(map(str, sorted(task.seed for task in [*done, *failed])))
  out = done[0].out.parent / f'seeds-{seeds}'
  pooled = pooling.pool(
    samples,
    against=experiment.evaluation.against,
    contrasts=experiment.contrasts,
    gold=measuring.gold_name(getattr(experiment.data, 'gold', None)),
    learnt_from=measuring.learnt_from(experiment),
    judge=judge and judges.asked_once(judge, out=sys.stdout),
  )
  notes = [f'{task.name} failed and is left out.' for task in failed]
  made = train.asked(done[0].file, options.set, seeds=options.seeds)
  links = (f'[seed {task.seed}](../{task.out.name}/report.md)' for task in done)
  made.append(f'Stages, times, devices and versions: {", ".join(links)}.')
  table = pooling.write(
    out,
    pooled,
    title=experiment.title,
    notes=notes,
    made=made,
    width=progress.width(sys.stdout),
  )
  print(f'\n{table}\n\npooled: {out / "pooled.md"}', flush=True)


def run(options) -> int:
  """Runs what is not done, pools what is; 1 if a seed failed."""
  joining.refuse('launch.seeds')
  errors.check_whole('--jobs', options.jobs, 1)
  for seed in options.seeds:
    errors.check_whole('--seeds', seed, 0, errors.LARGEST_SEED)
  errors.check_folder('--out', options.out)
  planned = [tasks_of(file, options) for file in dict.fromkeys(options.files)]
  ledger(options).parent.mkdir(parents=True, exist_ok=True)
  waiting, failed = [], set()
  for task in (task for tasks in planned for task in tasks):
    line = done_before(task, options)
    if line is None:
      waiting.append(task)
    else:
      said = f'done on {line["date"]} in {line["seconds"]:.0f} s: {task.out}'
      print(f'{task.name} {said}', flush=True)
  runner = one_by_one if options.jobs == 1 else side_by_side
  spent = 0.0
  with contextlib.closing(runner(waiting, options)) as finished:
    for over, (task, seconds, wrong) in enumerate(finished, 1):
      if wrong is None:
        write_down(task, seconds, options)
      else:
        failed.add(task.out)
        print(f'error: {task.name}: {wrong}', file=sys.stderr, flush=True)
      spent += seconds
      said = f'{over} of {len(waiting)} over, {task.name} in {seconds:.0f} s'
      if over < len(waiting):
        left = spent / over * (len(waiting) - over) / options.jobs
        said += f'; about {left / 60:.0f} min still'
      print(said, flush=True)
  for tasks in planned:
    done = [task for task in tasks if task.out not in failed]
    if done:
      pool(done, [task for task in tasks if task.out in failed], options)
  return 1 if failed else 0


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return train.guarded(run, parse(arguments))


if __name__ == '__main__':
  memory.keep()
  signals.leave(console.run(main))
