"""Runs an experiment: `python -m launch.train experiments/rlhf/sandbox.py`.

Ends with 0 where all is done and 1 after an error. A signal lets the step end
and saves it; then the command ends with 130 (Ctrl-C), 143 (SIGTERM) or 129
(SIGHUP), and the same command goes on from there.
"""

import argparse
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence

from absl import logging

from launch import (
  compiled,
  console,
  errors,
  joining,
  loading,
  memory,
  reporting,
  settings,
  signals,
)
from rlhf_jax.addressing import hashed

LONGEST_NAME = 120  # Bytes of a folder's name.


def parse(arguments):
  """Reads the command line."""
  parser = Parser(
    prog='python -m launch.train',
    description='Run an experiment: its stages in order, then its measure.',
    epilog=(
      'A setting or any value of the experiment can be set, as in --set seed=1 '
      '--set stages.ppo.config.kl_coef=0.05; --print-config lists them all. '
      'Stages that are done are not run again, and a stage that was stopped '
      'goes on from its last checkpoint. ' + signals.EPILOG
    ),
  )
  parser.add_argument('file', help='the experiment, a Python file')
  add_setting_arguments(parser)
  joining.add_arguments(parser)
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    help='folder of the results (default: runs/<experiment>, and in it '
    '<what is set> where something is)',
  )
  parser.add_argument(
    '--resume',
    type=pathlib.Path,
    metavar='DIR',
    help='go on with the run whose --out was DIR, if its config is this one',
  )
  parser.add_argument(
    '--fresh', action='store_true', help='run stages again that are done'
  )
  parser.add_argument(
    '--print-config',
    action='store_true',
    help='print every value of the experiment and stop',
  )
  parser.add_argument(
    '--export',
    type=pathlib.Path,
    metavar='DIR',
    help='at the end, write the last trained policy, or else reward model, as '
    'a folder of transformers',
  )
  parser.add_argument(
    '--tensorboard',
    type=pathlib.Path,
    metavar='DIR',
    help='write TensorBoard files too',
  )
  parser.add_argument(
    '--wandb', metavar='PROJECT', help='log to Weights & Biases too'
  )
  return parser.parse_args(arguments)


class Parser(argparse.ArgumentParser):
  """Whose help of an experiment's file lists the settings of that file."""

  def parse_args(self, arguments=None, namespace=None):
    self._given = sys.argv[1:] if arguments is None else arguments
    return super().parse_args(arguments, namespace)

  def print_help(self, file=None):
    super().print_help(file)
    for name in self._given:
      if name.endswith('.py'):
        try:
          own = settings.of_file(loading.load(pathlib.Path(name)))
        except Exception as e:
          print(f'\n{name}: {errors.sentence(e) or e}', file=file)
        else:
          print(f'\n{settings.help_text(name, own)}', file=file)


def add_setting_arguments(parser: argparse.ArgumentParser) -> None:
  """What an experiment is run with, whichever it is."""
  parser.add_argument(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='set a value; may be given many times',
  )
  add_shared_arguments(parser)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
  """What every command takes."""
  parser.add_argument(
    '--stages',
    type=pathlib.Path,
    default=pathlib.Path('runs/stages'),
    help='folder where stages are kept and shared (default: %(default)s)',
  )
  parser.add_argument(
    '--traceback',
    action='store_true',
    help='show where in the code an error came from',
  )


def train(options) -> None:
  """Runs an experiment as the command line says."""
  from rlhf_jax import experiment as experiments
  from rlhf_jax import processes
  from rlhf_jax.addressing import describe
  from rlhf_jax.training import metrics

  module = loading.load(pathlib.Path(options.file))
  experiment = loading.build(module, options.set)
  described = describe(experiment)
  if options.print_config:
    for setting in settings.listed(experiment, loading.build(module, [])):
      print(setting.line, file=processes.output())
    return
  options.out = out_folder(options)
  if options.export:
    from launch import exporting

    if processes.several():
      raise errors.OptionError(
        '--export writes from one process; leave it out, and run python -m '
        'launch.export_weights afterwards'
      )
    check_new('--export', options.export)
    trained, original = exporting.last_trained(experiment.stages)
  if options.resume:
    experiments.check_same(experiment, options.out)
  writers = []
  if not processes.first():
    options.tensorboard = options.wandb = None
  if options.tensorboard:
    writers.append(metrics.TensorBoardWriter(options.tensorboard))
  if options.wandb:
    writers.append(metrics.WandbWriter(options.wandb, described))
  try:
    with compiled.counted() as saved:
      experiments.run(
        experiment,
        options.out,
        stages_dir=options.stages,
        fresh=options.fresh,
        writers=writers,
        made=asked(options.file, options.set),
      )
  finally:
    for writer in writers:
      writer.close()
  if (said := saved.sentence()) and processes.first():
    print(said)
  if options.export:
    folder = options.out / 'stages' / trained
    kind = exporting.export(folder, options.export, original=original)
    print(f'exported: {options.export}, the {kind} of {trained}')


def check_new(name: str, path: pathlib.Path) -> None:
  """Refuses a folder that holds something already."""
  errors.check_folder(name, path)
  if path.exists() and any(path.iterdir()):
    raise errors.OptionError(
      f'{name}: {path} is not empty; name another folder'
    )


def asked(
  file: str, assignments: Sequence[str], *, seeds: Sequence[int] = ()
) -> list[str]:
  """Lines of Markdown on how a run was asked for: command, and what was set."""
  command = ['python', '-m', 'launch.seeds' if seeds else 'launch.train', file]
  for assignment in assignments:
    command += ['--set', assignment]
  if seeds:
    command += ['--seeds', *map(str, seeds)]
  lines = [f'Command: `{shlex.join(command)}`']
  if not assignments:
    return [*lines, 'Settings: as the file has them.']
  module = loading.load(pathlib.Path(file))
  experiment = loading.build(module, [])
  known = [*settings.listed(experiment, experiment), *settings.of_file(module)]
  values = {s.name.removesuffix('.function'): s.text for s in known}
  said = [f'`{assignment}`' for assignment in assignments]
  for place, assignment in enumerate(assignments):
    name = assignment.partition('=')[0]
    if name in values:
      said[place] += f' (in the file {values[name]})'
  return [*lines, f'Set: {", ".join(said)}.']


def out_folder(options) -> pathlib.Path:
  """The folder of the results.

  Raises:
    OptionError: --resume and --out name two, or no folder can be there.
  """
  if options.resume and options.out not in (None, options.resume):
    raise errors.OptionError(
      f'--resume goes on in {options.resume}, and --out names {options.out}; '
      'give one of them'
    )
  out = options.resume or options.out or default_out(options.file, options.set)
  errors.check_folder('--out', out)
  return out


def guarded(command, options) -> int:
  """Runs a command; what its user can mend is one sentence, not a traceback.

  Args:
    command: takes the options; what it returns, if anything, is the status.
    options: of the command line.
  """

  def prepared(options):
    errors.check_folder('--stages', options.stages)
    if hasattr(options, 'processes'):
      joining.join(options)
    keep_compiled(options.stages / '.compiled')
    return command(options)

  # XLA's notices of how it lays out programs are not for the user.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  logging.set_verbosity(logging.ERROR)
  return signals.obeyed(lambda: reporting.report_errors(prepared, options))


def keep_compiled(folder: pathlib.Path) -> None:
  """What one run compiled, the next need not compile again.

  But on several CPU devices: there a program that is read back runs its
  collectives in no order, devices wait for each other, and XLA aborts.
  """
  import jax

  if jax.config.jax_compilation_cache_dir:
    return  # The user's own.
  if jax.default_backend() != 'cpu' or jax.device_count() == 1:
    jax.config.update('jax_compilation_cache_dir', str(folder.absolute()))


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return guarded(train, parse(arguments))


def short_name(file: str) -> str:
  """<paper>/<claim> of experiments/<paper>/<claim>.py."""
  return '/'.join(pathlib.Path(file).with_suffix('').parts[-2:])


def default_out(file: str, assignments: Sequence[str] = ()) -> pathlib.Path:
  """runs/<paper>/<claim> of experiments/<paper>/<claim>.py.

  With values set, a folder of their own in it: runs/<paper>/<claim>/seed=1.
  """
  out = pathlib.Path('runs', short_name(file))
  if not assignments:
    return out
  last = {a.partition('=')[0]: a for a in assignments}
  name = ','.join(last[key] for key in sorted(last)).replace('/', '_')
  if len(name.encode()) > LONGEST_NAME:
    name = f'{name[: LONGEST_NAME // 4]}…{hashed(name)[:12]}'
  return out / name


if __name__ == '__main__':
  memory.keep()
  signals.leave(console.run(main))
