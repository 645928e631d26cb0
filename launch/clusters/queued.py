"""Commands of gcloud on a queued resource of TPUs, and what they answer."""

import argparse
import shlex
from collections.abc import Sequence

from launch.clusters import commands

WORKER = 'rlhf_jax/launch/clusters/worker.sh'
EVERYWHERE = ('--node=all', '--worker=all')
READY = 'ACTIVE'
WAITING = ('ACCEPTED', 'CREATING', 'PROVISIONING', 'WAITING_FOR_RESOURCES')
PREEMPTED = ('SUSPENDING', 'SUSPENDED')
ABSENT = 'absent'
UNDER_WAY = ('starting', 'running')  # As worker.sh says.
LOST = 'lost'  # A host that was started anew during a run.


def resource(shell: commands.Shell, options: argparse.Namespace) -> str:
  """The state of a queued resource, as Cloud TPU calls it, or 'absent'."""
  said = shell.read(described(options, 'value(state.state)'))
  return (said or '').strip() or ABSENT


def hosts(shell: commands.Shell, options: argparse.Namespace) -> dict[str, str]:
  """What `worker.sh status` says, by host; a host that is away is left out."""
  said = shell.read(ssh(options, worker('status'), EVERYWHERE)) or ''
  found = {}
  for line in said.splitlines():
    mark, _, rest = line.partition(' ')
    if mark == 'rlhf_jax':
      host, _, words = rest.partition(' ')
      found[host] = words
  return found


def gcloud(verb: str, options: argparse.Namespace) -> list[str]:
  """The beginning of a command; copying names the resource in its paths."""
  project = ['--project', options.project] if options.project else []
  return [
    *('gcloud', 'compute', 'tpus', 'queued-resources', verb),
    *([] if verb == 'scp' else [options.name]),
    *('--zone', options.zone),
    *project,
  ]


def described(options: argparse.Namespace, what: str) -> list[str]:
  """Asks for a part of what is known of the resource."""
  return [*gcloud('describe', options), '--format', what]


def ssh(
  options: argparse.Namespace, command: str, where: Sequence[str]
) -> list[str]:
  """Runs a command of the shell on some hosts."""
  return [*gcloud('ssh', options), *where, '--command', command]


def on_hosts(
  shell: commands.Shell, options: argparse.Namespace, command: str
) -> None:
  """Runs a command of the shell on all hosts, to its end."""
  shell.run(ssh(options, command, EVERYWHERE))


def worker(*words: str) -> str:
  """What `worker.sh` is told, as a command of the shell."""
  return shlex.join(['bash', WORKER, *words])


def log(
  options: argparse.Namespace, number: str, *, lines: int = 1000
) -> list[str]:
  """Shows the log of one host, from its last lines on."""
  where = ('--node=0', f'--worker={number}')
  return ssh(options, worker('log', str(lines)), where)
