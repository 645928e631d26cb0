"""Devices that are not here, for which programs are compiled all the same."""

import importlib.util
import os

import jax
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from rlhf_jax import sharding
from rlhf_jax.planning.chips import ChipError, Slice

# {platform: (package that compiles for it, how it is installed)}.
COMPILERS = {
  'tpu': ('libtpu', "pip install -e '.[plan]'"),
  'gpu': ('jax_cuda12_plugin', "pip install -e '.[plan-gpu]'"),
}
# XLA would try out its kernels on a GPU.
UNTRIED = '--xla_gpu_autotune_level=0'
# For libtpu, which otherwise looks for TPUs, and lets one process use it.
ENVIRONMENT = {
  'TPU_SKIP_MDS_QUERY': '1',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'TPU_WORKER_HOSTNAMES': 'localhost',
}
# A GPU as XLA's compiler wants it described: a GpuTargetConfigProto. Limits are
# those of CUDA for compute capability 9.0, sizes those of the H100 SXM.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 1 patch: 0 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
}
"""


def prepare() -> None:
  """Sets the environment in which programs are compiled for other devices.

  Before jax has looked for devices; nothing is to run on those that are here.
  """
  os.environ.update(ENVIRONMENT)
  flags = os.environ.get('XLA_FLAGS', '').split()
  if UNTRIED not in flags:
    os.environ['XLA_FLAGS'] = ' '.join([*flags, UNTRIED])
  # XLA's notices of how it lays out programs are not for the user.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  jax.config.update('jax_platforms', 'cpu')


def missing(chips: Slice) -> str | None:
  """What to install so that programs can be compiled; None if it is here."""
  package, install = COMPILERS[chips.chip.platform]
  if importlib.util.find_spec(package) is not None:
    return None
  return (
    f'nothing is compiled for {chips.name} without {package}, so that '
    'temporaries, what is in memory with them, and what is sent are not known '
    f'(–): {install}'
  )


def devices(chips: Slice) -> list[jax.Device]:
  """The devices of a slice, for which programs can be compiled.

  Raises:
    ChipError: the compiler knows no such slice.
  """
  shape = 'x'.join(map(str, chips.shape))
  if chips.chip.platform == 'gpu':
    # (slices, hosts, GPUs on each.)
    name, platform = '', 'cuda'
    options = {'target_config': H100, 'topology': f'1x{shape}'}
  else:
    # Two cores are one device, as where such chips run.
    name, platform = chips.name, 'tpu'
    options = {'chip_config_name': 'megacore'} if chips.chip.cores == 2 else {}
  try:
    found = topologies.get_topology_desc(name, platform, **options).devices
  except Exception as error:
    said = ' '.join(str(error).split())[:200]
    raise ChipError(
      f'{chips.name} is no slice that its compiler knows ({said}); give '
      'another one'
    ) from error
  return list(found)


def mesh(chips: Slice, shape) -> jax.sharding.Mesh:
  """The mesh of an experiment on these devices, as `sharding.make_mesh`.

  Raises:
    ChipError, ValueError: as `devices`; as `make_mesh`.
  """
  return sharding.make_mesh(shape, devices(chips))


def abstract_mesh(chips: Slice, shape) -> AbstractMesh:
  """Likewise, where nothing is compiled.

  Raises:
    ValueError: as `sharding.make_mesh`.
  """
  kind, platform = chips.chip.kind, chips.chip.platform
  return AbstractMesh(
    sharding.mesh_sizes(shape, chips.count),
    sharding.AXES,
    axis_types=(AxisType.Auto,) * len(sharding.AXES),
    abstract_device=AbstractDevice(kind, chips.chip.cores, platform),
  )
