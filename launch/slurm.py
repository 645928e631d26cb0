"""Runs on Slurm: `python -m launch.slurm submit NAME … -- launch.train FILE …`.

From the folder of the code, which all nodes must see. A job that is preempted,
or runs into its time limit, saves, is queued again and goes on.
"""

import argparse
import sys
from collections.abc import Sequence

from launch import errors
from launch.clusters import commands

SCRIPT = 'launch/clusters/slurm.sh'
LOGS = 'runs/slurm'
WAIT = 300  # Seconds; all nodes of a job start together.


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Reads the command line before its `--`."""
  parser, verbs = commands.parsers(
    'python -m launch.slurm', __doc__.partition('\n')[0], VERBS
  )
  for verb, sub in verbs.items():
    if verb == 'submit':
      sub.add_argument('name', help='of the job')
      _add_job(sub)
    else:
      sub.add_argument('job', help='its number, as sbatch said it')
  return parser.parse_args(arguments)


def _add_job(parser):
  parser.add_argument('--nodes', type=int, required=True)
  parser.add_argument('--gpus-per-node', type=int, required=True)
  parser.add_argument(
    '--processes-per',
    choices=('node', 'gpu'),
    default='node',
    help='one process for a node, or for a GPU (default: %(default)s)',
  )
  parser.add_argument(
    '--time', default='24:00:00', help='(default: %(default)s)'
  )
  parser.add_argument('--partition')
  parser.add_argument('--account')
  parser.add_argument(
    '--grace',
    type=int,
    default=300,
    help='seconds before the time limit at which it saves (default: '
    '%(default)s)',
  )
  parser.add_argument(
    '--python',
    default=sys.executable,
    help='interpreter that all nodes see (default: %(default)s)',
  )
  parser.add_argument(
    '--sbatch',
    action='append',
    default=[],
    metavar='OPTION',
    help='one more option of sbatch, as --sbatch=--constraint=h100; may be '
    'given many times',
  )
  commands.add_restarts(parser)


def submit(options, shell) -> None:
  """Submits a run; sbatch says the number of the job."""
  for name in ('nodes', 'gpus_per_node'):
    errors.check_whole(f'--{name.replace("_", "-")}', getattr(options, name), 1)
  one = options.processes_per == 'node'
  shell.run(['mkdir', '-p', LOGS])
  given = {
    'PYTHON': options.python,
    'RESTARTED': commands.CODES,
    'RESTARTS': options.restarts,
    'WAIT': WAIT,
  }
  shell.run(
    [
      'sbatch',
      f'--job-name={options.name}',
      f'--nodes={options.nodes}',
      f'--gpus-per-node={options.gpus_per_node}',
      f'--ntasks-per-node={1 if one else options.gpus_per_node}',
      '--exclusive',
      f'--time={options.time}',
      f'--signal=TERM@{options.grace}',
      '--requeue',
      '--open-mode=append',
      f'--output={LOGS}/%j.log',
      '--export=ALL,' + ','.join(f'{k}={v}' for k, v in given.items()),
      *([f'--partition={options.partition}'] if options.partition else []),
      *([f'--account={options.account}'] if options.account else []),
      *options.sbatch,
      SCRIPT,
      *commands.program(options.behind),
    ]
  )


def logs(options, shell) -> None:
  """Shows what a job prints, until Ctrl-C."""
  shell.status(['tail', '-n', '1000', '-F', f'{LOGS}/{options.job}.log'])


def status(options, shell) -> None:
  """Says how a job is, and how it ended each time it was started."""
  fields = 'JobID,JobName,State,ExitCode,Elapsed,NodeList'
  shell.run(
    ['sacct', '--duplicates', f'--jobs={options.job}', f'--format={fields}']
  )


def stop(options, shell) -> None:
  """Lets a job save and end for good."""
  shell.run(['scontrol', 'update', f'JobId={options.job}', 'Requeue=0'])
  shell.run(['scancel', '--signal=TERM', options.job])


VERBS = {'submit': submit, 'logs': logs, 'status': status, 'stop': stop}


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line. Returns its exit status."""
  return commands.run(parse, VERBS, arguments)


if __name__ == '__main__':
  sys.exit(main())
