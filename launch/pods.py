"""Runs on TPU VMs: `python -m launch.pods run NAME … -- launch.train FILE …`.

A queued resource is asked for, the code goes to every host of it, is installed
and started there, its log is shown; a resource that is preempted is asked for
again, and the run goes on from what it saved. Every step is a command of its
own, too. A pod costs money until `delete`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence

from launch.clusters import commands, queued

CODE = ('rlhf_jax', 'launch', 'experiments', 'setup.py', 'README.md')
ARCHIVE = 'rlhf_jax.tar.gz'
LOOK_SECONDS = 60.0  # Between two looks at a pod.


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Reads the command line before its `--`."""
  parser, verbs = commands.parsers(
    'python -m launch.pods', __doc__.partition('\n')[0], VERBS
  )
  for verb, sub in verbs.items():
    sub.add_argument('name', help='of the queued resource')
    sub.add_argument('--zone', required=True)
    sub.add_argument('--project', help="(default: gcloud's own)")
    if verb in ('create', 'run'):
      _add_resource(sub)
    if verb in ('install', 'run'):
      _add_shared(sub)
    if verb in ('start', 'run'):
      commands.add_restarts(sub)
    if verb == 'run':
      sub.add_argument(
        '--delete-when-done',
        action='store_true',
        help='delete the pod when the run is done, and when it failed',
      )
    if verb == 'logs':
      sub.add_argument(
        '--worker', default='0', help='whose log (default: %(default)s)'
      )
  return parser.parse_args(arguments)


def _add_resource(parser):
  parser.add_argument(
    '--type',
    required=True,
    help='accelerator type, as v5litepod-64, v5p-128 or v6e-64',
  )
  parser.add_argument(
    '--runtime',
    required=True,
    help='of the VMs: v2-alpha-tpuv5-lite, v2-alpha-tpuv5, v2-alpha-tpuv6e',
  )
  parser.add_argument(
    '--slices', type=int, default=1, help='of that type (default: 1)'
  )
  parser.add_argument(
    '--spot', action='store_true', help='cheap, and may be preempted'
  )
  parser.add_argument('--network', help='of the VMs, that of the NFS server')


def _add_shared(parser):
  parser.add_argument(
    '--shared',
    default='/mnt/shared/runs',
    help='folder on the hosts that they share; it becomes runs/ of the code '
    '(default: %(default)s)',
  )
  parser.add_argument(
    '--nfs', help='HOST:/PATH that is mounted there, as of Filestore'
  )


def create(options, shell) -> None:
  """Asks for a queued resource and returns at once."""
  nodes = ['--node-id', f'{options.name}-0']
  if options.slices > 1:
    count = str(options.slices)
    nodes = ['--node-count', count, '--node-prefix', options.name]
  shell.run(
    [
      *queued.gcloud('create', options),
      *('--accelerator-type', options.type),
      *('--runtime-version', options.runtime),
      *nodes,
      *(['--spot'] if options.spot else []),
      *(['--network', options.network] if options.network else []),
    ]
  )


def install(options, shell) -> None:
  """Copies the code to every host and installs it there."""
  with tempfile.TemporaryDirectory(prefix='rlhf_jax-') as folder:
    if shell.dry_run:
      folder = '/tmp/rlhf_jax-code'
      shell.run(['mkdir', '-p', folder])
    archive = f'{folder}/{ARCHIVE}'
    shell.run(
      ['tar', '-czf', archive, '--exclude', '__pycache__']
      + ['-C', str(commands.ROOT), *CODE]
    )
    shell.run(
      [
        *queued.gcloud('scp', options),
        archive,
        f'{options.name}:',
        *queued.EVERYWHERE,
      ]
    )
  unpack = f'mkdir -p rlhf_jax && tar -xzf {ARCHIVE} -C rlhf_jax'
  nfs = [options.nfs] if options.nfs else []
  queued.on_hosts(
    shell,
    options,
    f'{unpack} && {queued.worker("install", options.shared, *nfs)}',
  )


def start(options, shell) -> None:
  """Starts a run on every host, where none runs."""
  variables = f'RESTARTED={commands.CODES} RESTARTS={options.restarts}'
  program = ['launch.hosts', 'runs', '--', *commands.program(options.behind)]
  queued.on_hosts(
    shell, options, f'{variables} {queued.worker("start", *program)}'
  )


def logs(options, shell) -> None:
  """Shows what a host prints, until Ctrl-C."""
  shell.status(queued.log(options, options.worker))


def status(options, shell) -> None:
  """Says how the resource is, and the run on every host."""
  print(f'{options.name}: {queued.resource(shell, options)}')
  for host, said in sorted(queued.hosts(shell, options).items()):
    print(f'{host}: {said}')


def stop(options, shell) -> None:
  """Lets the run save and end; the pod stays, and costs."""
  queued.on_hosts(shell, options, queued.worker('stop'))


def delete(options, shell) -> None:
  """Deletes the pod, and what lies on its disks."""
  shell.run([*queued.gcloud('delete', options), '--force', '--quiet'])


def run_to_end(options, shell) -> int:
  """All of it: create, install, start, show; again after a preemption."""
  commands.program(options.behind)  # Before anything costs.
  try:
    result = _until_done(options, shell)
  except KeyboardInterrupt:
    print(
      f'\nthe run goes on on {options.name}; the same command looks at it '
      f'again, `python -m launch.pods stop {options.name} --zone '
      f'{options.zone}` ends it'
    )
    return 130
  if options.delete_when_done:
    delete(options, shell)
  elif not shell.dry_run:
    print(
      f'{options.name} still costs money: python -m launch.pods delete '
      f'{options.name} --zone {options.zone}'
    )
  return result


VERBS = {
  'create': create,
  'install': install,
  'start': start,
  'logs': logs,
  'status': status,
  'stop': stop,
  'delete': delete,
  'run': run_to_end,
}


def _until_done(options, shell) -> int:
  for _ in range(options.restarts + 1):
    _get(options, shell)
    try:
      _begin(options, shell)
    except commands.CommandError:
      if queued.resource(shell, options) == queued.READY:
        raise
      continue  # It was preempted meanwhile.
    result = _watch(options, shell)
    if result is not None:
      return result
  raise commands.CommandError(
    f'{options.name} went away {options.restarts + 1} times; the same command '
    'goes on'
  )


def _begin(options, shell) -> None:
  """Installs and starts, unless the run is under way on all hosts."""
  said = queued.hosts(shell, options).values()
  if not said or not all(w.startswith(queued.UNDER_WAY) for w in said):
    install(options, shell)
    start(options, shell)


def _get(options, shell) -> None:
  """Waits until the resource is there; asks for it where it is not."""
  if shell.dry_run:
    return create(options, shell)
  said = None
  while (state := queued.resource(shell, options)) != queued.READY:
    if state == queued.ABSENT:
      create(options, shell)
    elif state in queued.PREEMPTED:
      delete(options, shell)
    elif state not in queued.WAITING:
      why = shell.read(queued.described(options, 'value(state)')) or ''
      raise commands.CommandError(f'{options.name} is {state}: {why.strip()}')
    if state != said:
      print(f'{options.name}: {state}', flush=True)
    said = state
    time.sleep(LOOK_SECONDS)


def _watch(options, shell) -> int | None:
  """Shows the log until all is over. Its exit status; None if preempted."""
  log = shell.start(queued.log(options, '0'))
  if shell.dry_run:
    status(options, shell)
    return 0
  try:
    while True:
      time.sleep(LOOK_SECONDS)
      if (state := queued.resource(shell, options)) != queued.READY:
        print(f'{options.name} is {state}; asking for it again', flush=True)
        return None
      said = queued.hosts(shell, options)
      if not said:
        print(f'{options.name}: not every host answers', flush=True)
      ended = {
        host: int(words.split()[1])
        for host, words in said.items()
        if words.startswith('ended')
      }
      failed = {host: code for host, code in ended.items() if code}
      if said and len(ended) == len(said):
        return _result(failed, options)
      if any(words == queued.LOST for words in said.values()):
        print('a host was started anew; so is the run', flush=True)
        return None
      if log.poll() is not None:  # The connection went away.
        log = shell.start(queued.log(options, '0', lines=1))
  finally:
    log.terminate()


def _result(failed, options):
  for host, code in sorted(failed.items()):
    print(f'{host}: the run ended with {code}')
  if failed:
    print(
      f'what it said: python -m launch.pods logs {options.name} --zone '
      f'{options.zone}'
    )
  return max(failed.values(), default=0)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line. Returns its exit status."""
  return commands.run(parse, VERBS, arguments)


if __name__ == '__main__':
  sys.exit(main())
