"""Runs on GKE: `python -m launch.gke submit NAME … -- launch.train FILE …`.

A run is a JobSet: a Job for each TPU slice, or for all GPU nodes, and a pod for
each host. Kubernetes keeps it: no laptop need stay on.
"""

import argparse
import math
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import jinja2

from launch import errors
from launch.clusters import commands

TEMPLATE = pathlib.Path(__file__).with_name('clusters') / 'jobset.yaml'
TPU, GPU = 'google.com/tpu', 'nvidia.com/gpu'
WAIT = 1800  # Seconds; nodes come one by one, and pull an image.
GRACE = 120  # Seconds, less where a node is spot: 15 to 25 there.


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Reads the command line before its `--`."""
  parser, verbs = commands.parsers(
    'python -m launch.gke', __doc__.partition('\n')[0], VERBS
  )
  for verb, sub in verbs.items():
    sub.add_argument('name', help='of the JobSet')
    sub.add_argument(
      '--namespace', default='default', help='(default: %(default)s)'
    )
    if verb in ('submit', 'xpk'):
      sub.add_argument(
        '--image', required=True, help='with the code in /rlhf_jax'
      )
      sub.add_argument(
        '--slices', type=int, default=1, help='of TPUs (default: 1)'
      )
      sub.add_argument(
        '--grace',
        type=int,
        default=GRACE,
        help='seconds to save in (default: %(default)s)',
      )
      sub.add_argument(
        '--wait',
        type=int,
        default=WAIT,
        help='seconds in which all hosts must be here (default: %(default)s)',
      )
      commands.add_restarts(sub)
    if verb == 'submit':
      _add_nodes(sub)
    if verb == 'xpk':
      _add_xpk(sub)
  return parser.parse_args(arguments)


def _add_nodes(parser):
  parser.add_argument(
    '--accelerator',
    required=True,
    help='label of the nodes: tpu-v5-lite-podslice, tpu-v5p-slice, '
    'tpu-v6e-slice, nvidia-h100-80gb',
  )
  parser.add_argument('--topology', help='of a TPU slice, as 8x8')
  parser.add_argument(
    '--hosts', type=int, help='of a slice, or GPU nodes; of a slice it follows'
  )
  parser.add_argument(
    '--devices-per-host',
    type=int,
    help='chips or GPUs (default: 4 chips, 8 GPUs)',
  )
  parser.add_argument(
    '--claim',
    required=True,
    help='PersistentVolumeClaim, ReadWriteMany: runs/ of all hosts',
  )
  parser.add_argument('--queue', help='LocalQueue of Kueue')
  parser.add_argument('--spot', action='store_true', help='on spot nodes')


def _add_xpk(parser):
  parser.add_argument('--cluster', required=True)
  parser.add_argument('--zone', required=True)
  parser.add_argument('--project', help="(default: gcloud's own)")
  parser.add_argument('--tpu-type', required=True, help='as v5litepod-64')
  parser.add_argument(
    '--storage',
    required=True,
    help='of `xpk storage attach`, mounted at /rlhf_jax/runs',
  )
  parser.add_argument('--spot', action='store_true', help='on spot nodes')


def submit(options, shell) -> None:
  """Submits a run as a JobSet; JobSet and the image must be there."""
  shell.run(_kubectl(options, 'apply', '-f', '-'), text=jobset(options))


def xpk(options, shell) -> None:
  """Submits a run through xpk, which writes the JobSet itself."""
  codes = ','.join(map(str, commands.RESTARTED))
  project = ['--project', options.project] if options.project else []
  program = shlex.join(_command(options))
  shell.run(
    [
      *('xpk', 'workload', 'create', '--workload', options.name),
      *('--cluster', options.cluster, '--zone', options.zone, *project),
      *('--namespace', options.namespace),
      *('--tpu-type', options.tpu_type, '--num-slices', str(options.slices)),
      *('--docker-image', options.image, '--storage', options.storage),
      *('--max-restarts', str(options.restarts)),
      *('--restart-on-exit-codes', codes),
      *('--termination-grace-period-seconds', str(options.grace)),
      *(['--spot'] if options.spot else []),
      # In place of the shell that xpk sends signals to.
      *(
        '--command',
        f'cd /rlhf_jax && exec {program}',
      ),
    ]
  )


def logs(options, shell) -> None:
  """Shows what the first process prints, until Ctrl-C or a restart."""
  first = (
    f'jobset.sigs.k8s.io/jobset-name={options.name}',
    'jobset.sigs.k8s.io/job-index=0',
    'batch.kubernetes.io/job-completion-index=0',
  )
  shell.run(
    _kubectl(options, 'logs', '--follow', '--tail=1000')
    + ['--selector', ','.join(first)]
  )


def status(options, shell) -> None:
  """Says how the JobSet is, how often it was restarted, and its pods."""
  shell.run(_kubectl(options, 'get', 'jobset', options.name))
  of_run = f'jobset.sigs.k8s.io/jobset-name={options.name}'
  shell.run(
    _kubectl(options, 'get', 'pods', '--output', 'wide', '--selector', of_run)
  )


def delete(options, shell) -> None:
  """Deletes the JobSet; its processes save first, if --grace suffices."""
  shell.run(_kubectl(options, 'delete', 'jobset', options.name))


VERBS = {
  'submit': submit,
  'xpk': xpk,
  'logs': logs,
  'status': status,
  'delete': delete,
}


def jobset(options: argparse.Namespace) -> str:
  """The JobSet of a run, as YAML.

  Raises:
    OptionError: hosts that do not fit the topology, or a TPU without one.
  """
  environment = jinja2.Environment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True
  )
  template = environment.from_string(TEMPLATE.read_text(encoding='utf-8'))
  return template.render(
    _nodes(options),
    name=options.name,
    image=options.image,
    claim=options.claim,
    queue=options.queue,
    slices=options.slices,
    spot=options.spot,
    grace=options.grace,
    restarts=options.restarts,
    restarted=list(commands.RESTARTED),
    command=_command(options),
  )


def _nodes(options) -> dict[str, Any]:
  """Which nodes, how many, and what of each."""
  tpu = options.accelerator.startswith('tpu-')
  devices = options.devices_per_host or (4 if tpu else 8)
  if tpu:
    hosts = _hosts_of_slice(options, devices)
    labels = {
      'cloud.google.com/gke-tpu-accelerator': options.accelerator,
      'cloud.google.com/gke-tpu-topology': options.topology,
    }
  else:
    if options.topology or options.slices > 1:
      raise errors.OptionError('--topology and --slices are for TPUs alone')
    hosts = options.hosts or 1
    labels = {'cloud.google.com/gke-accelerator': options.accelerator}
  if options.spot:
    labels['cloud.google.com/gke-spot'] = 'true'
  resource = TPU if tpu else GPU
  return {
    'tpu': tpu,
    'hosts': hosts,
    'devices': devices,
    'nodes': labels,
    'resource': resource,
  }


def _hosts_of_slice(options, devices):
  sides = (options.topology or '').split('x')
  if not all(side.isdecimal() and int(side) for side in sides):
    raise errors.OptionError(
      f'--topology must be sizes such as 8x8 or 4x4x8, got {options.topology}'
    )
  chips = math.prod(map(int, sides))
  if chips % devices:
    raise errors.OptionError(
      f'a slice of {options.topology} has {chips} chips, which hosts of '
      f'{devices} do not make; give --devices-per-host'
    )
  if options.hosts not in (None, chips // devices):
    raise errors.OptionError(
      f'a slice of {options.topology} has {chips // devices} hosts of '
      f'{devices} chips, and --hosts says {options.hosts}'
    )
  return chips // devices


def _command(options):
  meet = ['python', '-m', 'launch.hosts', 'runs', '--wait', str(options.wait)]
  return [*meet, '--', *commands.program(options.behind)]


def _kubectl(options, *words):
  return ['kubectl', '--namespace', options.namespace, *words]


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line. Returns its exit status."""
  return commands.run(parse, VERBS, arguments)


if __name__ == '__main__':
  sys.exit(main())
