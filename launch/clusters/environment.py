"""Which process of a run this is, and what of its environment cannot be.

jax finds the other processes by what the cluster's environment says; a variable
that a shell still exports from machines that are gone wins over it.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from launch import errors

GIVEN = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
# What the metadata of a TPU VM says, and a variable of that name overrides.
OF_TPU = (
  'MEGASCALE_COORDINATOR_ADDRESS',
  'MEGASCALE_NUM_SLICES',
  'MEGASCALE_SLICE_ID',
  'TPU_WORKER_ID',
  'TPU_WORKER_HOSTNAMES',
  'TPU_PROCESS_ADDRESSES',
)
TPU_DEVICES = ('/dev/accel0', '/dev/vfio/0')
LEFT_OVER = (
  'a value that a shell still exports names machines that may be gone after a '
  'preemption'
)


class Place(NamedTuple):
  """A process among those of a run.

  Attributes:
    process: its number, from 0.
    processes: how many there are.
    coordinator: host:port where process 0 waits for the others.
  """

  process: int
  processes: int
  coordinator: str


def place(environ: Mapping[str, str] = os.environ) -> Place:
  """This process, by its variables, or else as jax finds it.

  Raises:
    OptionError: the variables contradict each other, or say nothing.
  """
  if any(name in environ for name in GIVEN):
    return _given(environ)
  found = _detected()
  if found is None:
    raise errors.OptionError(
      'this machine is part of no cluster that jax knows (Cloud TPU, GKE, '
      f'Slurm); set {", ".join(GIVEN)} on every process'
    )
  return found


def _given(environ):
  missing = [name for name in GIVEN if name not in environ]
  if missing:
    there = [name for name in GIVEN if name in environ]
    raise errors.OptionError(
      f'{" and ".join(there)} is set and {" and ".join(missing)} is not; set '
      f'all three, or unset all three: {LEFT_OVER}'
    )
  address, count, number = (environ[name] for name in GIVEN)
  whole = number.isdecimal() and count.isdecimal()
  if not whole or int(number) >= int(count):
    raise errors.OptionError(
      f'JAX_PROCESS_ID is {number!r} and JAX_NUM_PROCESSES {count!r}; the '
      'first goes from 0 to one below the second'
    )
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal():
    raise errors.OptionError(
      f'JAX_COORDINATOR_ADDRESS is {address!r}; it must be host:port of '
      'process 0'
    )
  return Place(int(number), int(count), address)


def _detected() -> Place | None:
  """As jax.distributed.initialize finds it, without joining."""
  try:
    from jax._src.clusters import ClusterEnv

    found = ClusterEnv.auto_detect_unset_distributed_params(
      None, None, None, [0], None, 60
    )
    address, count, number = found[:3]
  except (ImportError, AttributeError, TypeError) as e:
    raise errors.OptionError(
      f'this version of jax does not say where it would look ({e}); set '
      f'{", ".join(GIVEN)}'
    ) from e
  if address is None or count is None or number is None:
    return None
  return Place(int(number), int(count), address)


def complaints(environ: Mapping[str, str], *, tpu_vm: bool) -> list[str]:
  """What in the environment will mislead a run, a sentence each.

  Args:
    environ: variables.
    tpu_vm: whether this is a VM of a TPU that no scheduler sets variables of.
  """
  said = []
  if 'SLURM_JOB_ID' in environ:
    said += _against_slurm(environ)
  if tpu_vm:
    left = [name for name in OF_TPU if name in environ]
    if left:
      said.append(
        f'{", ".join(left)} set in the environment of a TPU VM; unset them: '
        'the machine knows better, and ' + LEFT_OVER
      )
  proxies = [name for name in environ if name.lower().endswith('_proxy')]
  proxies = [n for n in proxies if n.lower() not in ('no_proxy', 'ftp_proxy')]
  if proxies and not _names_no_proxy(environ):
    said.append(
      f'{", ".join(proxies)} set: processes would look for each other through '
      'the proxy and hang; unset them, or name the hosts in no_proxy'
    )
  return said


def is_tpu_vm(environ: Mapping[str, str]) -> bool:
  """Whether this is a host of a TPU, outside of Kubernetes."""
  devices = any(pathlib.Path(path).exists() for path in TPU_DEVICES)
  return devices and 'KUBERNETES_SERVICE_HOST' not in environ


def _against_slurm(environ):
  pairs = (
    ('JAX_PROCESS_ID', 'SLURM_PROCID'),
    ('JAX_NUM_PROCESSES', 'SLURM_NTASKS'),
  )
  return [
    f'{ours} is {environ[ours]} and {theirs} {environ[theirs]}; unset '
    f'{", ".join(GIVEN)}: {LEFT_OVER}'
    for ours, theirs in pairs
    if ours in environ
    and theirs in environ
    and environ[ours] != environ[theirs]
  ]


def _names_no_proxy(environ):
  return any(environ.get(name) for name in ('no_proxy', 'NO_PROXY'))
