"""One mesh with named axes, and rules that shard each array by its path.

Rules are ordered (regular expression, axes) pairs beside a model's modules. A
path is the '/'-joined names of a leaf; the first expression found in it wins.
Axes that the mesh lacks, or that do not divide a dimension, are left out, so
that the same rules serve one CPU and a pod. A parameter without a rule is an
error.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ('data', 'fsdp', 'tensor')
BATCH = ('data', 'fsdp')  # What a batch's leading axis is split over.

Axis = str | tuple[str, ...] | None
Rules = Sequence[tuple[str, tuple[Axis, ...]]]


def make_mesh(
  shape: Mapping[str, int] | None = None,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """A mesh over `devices` (all by default); axes not named have size 1.

  Args:
    shape: size by axis name; one of them may be -1, for all devices that
      remain. By default all devices go to `data`.
    devices: of the mesh.

  Raises:
    ValueError: an unknown axis, or sizes that do not multiply to the devices.
  """
  devices = jax.devices() if devices is None else devices
  sizes = mesh_sizes(shape, len(devices))
  types = (AxisType.Auto,) * len(AXES)
  return Mesh(np.asarray(devices).reshape(sizes), AXES, axis_types=types)


def mesh_sizes(
  shape: Mapping[str, int] | None, devices: int
) -> tuple[int, ...]:
  """The sizes of `AXES` in a mesh over so many devices; see `make_mesh`."""
  shape = {'data': -1} if shape is None else dict(shape)
  check_shape(shape)
  sizes = [shape.get(axis, 1) for axis in AXES]
  if -1 in sizes:
    known = math.prod(size for size in sizes if size != -1)
    sizes[sizes.index(-1)] = max(devices // known, 1)
  if math.prod(sizes) != devices:
    wanted = ' x '.join(f'{a}={s}' for a, s in zip(AXES, sizes, strict=True))
    raise ValueError(
      f'a mesh of {wanted} needs {math.prod(sizes)} devices, and there are '
      f'{devices}; set mesh.{", mesh.".join(AXES)} to sizes that multiply to '
      'these'
    )
  return tuple(sizes)


def check_shape(shape: Mapping[str, int]) -> None:
  """Refuses a mesh that no devices can form.

  Raises:
    ValueError: an unknown axis, or a size that is none.
  """
  for axis, size in shape.items():
    if axis not in AXES:
      raise ValueError(f'mesh axis {axis!r} is none of {", ".join(AXES)}')
    if isinstance(size, bool) or not isinstance(size, int):
      raise ValueError(f'mesh.{axis} is {size!r}; it must be a whole number')
    if size < 1 and size != -1:
      raise ValueError(
        f'mesh.{axis} is {size}; it must be 1 or more, or -1 for all devices '
        'that remain'
      )
  rest = [axis for axis, size in shape.items() if size == -1]
  if len(rest) > 1:
    raise ValueError(
      f'mesh.{" and mesh.".join(rest)} are -1; only one of them can be what '
      'remains'
    )


def fitting_spec(
  shape: Sequence[int], axes: Sequence[Axis], sizes: Mapping[str, int]
) -> PartitionSpec:
  """`axes` less those that the mesh lacks, or that do not divide `shape`."""
  if len(axes) > len(shape):
    raise ValueError(f'{len(axes)} axes for an array of shape {tuple(shape)}')

  def fit(dimension, axis):
    names = (axis,) if isinstance(axis, str) else axis or ()
    kept = []
    for name in names:
      split = math.prod(sizes[n] for n in kept) * sizes.get(name, 1)
      if sizes.get(name, 1) > 1 and dimension % split == 0:
        kept.append(name)
    return tuple(kept) if len(kept) > 1 else kept[0] if kept else None

  return PartitionSpec(*map(fit, shape, axes))


def constrain(x: jax.Array, *axes: Axis) -> jax.Array:
  """x with a sharding constraint along mesh axes; x itself without a mesh."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or math.prod(mesh.shape.values()) == 1:
    return x
  spec = fitting_spec(x.shape, axes, dict(mesh.shape))
  return jax.lax.with_sharding_constraint(x, spec)


def platform() -> str:
  """'cpu', 'gpu' or 'tpu': where what is traced now will run.

  The devices of the mesh that is set, or else jax's default ones.
  """
  device = jax.sharding.get_abstract_mesh().abstract_device
  return jax.default_backend() if device is None else device.platform


def batch_devices(mesh: Any) -> int:
  """The number of devices of a mesh that a batch is split over."""
  return math.prod(mesh.shape.get(axis, 1) for axis in BATCH)


def leaf_path(path: tuple[Any, ...]) -> str:
  """The '/'-joined names of a key path: `policy/layers/attention/query`."""
  names = [
    getattr(k, 'key', getattr(k, 'name', getattr(k, 'idx', k))) for k in path
  ]
  return '/'.join(map(str, names))


def shardings(tree: Any, rules: Rules, mesh: Mesh) -> Any:
  """The sharding of every leaf of a tree of arrays or ShapeDtypeStructs.

  Scalars and keys need no rule: they are replicated. An optimizer's moments
  have their parameter's name at the end of their path, and so its rule.

  Raises:
    ValueError: a leaf that no rule names.
  """

  def place(path, leaf):
    if not np.ndim(leaf):
      return NamedSharding(mesh, PartitionSpec())
    name = leaf_path(path)
    for pattern, axes in rules:
      if re.search(pattern, name):
        return NamedSharding(
          mesh, fitting_spec(leaf.shape, axes, dict(mesh.shape))
        )
    raise ValueError(
      f'no partition rule names the parameter {name!r} of shape '
      f'{tuple(leaf.shape)}; add one beside the model that makes it'
    )

  return jax.tree_util.tree_map_with_path(place, tree)


def init_sharded(
  init: Callable[..., Any], rules: Rules, mesh: Mesh, *args: Any
) -> Any:
  """Runs a jitted `init(*args)` straight into its shards."""
  placed = shardings(jax.eval_shape(init, *args), rules, mesh)
  return jax.jit(init, out_shardings=placed)(*args)


def place(tree: Any, rules: Rules, mesh: Mesh) -> Any:
  """Moves a tree of parameters or of a train state to where the rules say."""
  return jax.device_put(tree, shardings(tree, rules, mesh))


def place_batch(batch: Any, mesh: Mesh) -> Any:
  """Splits the leading axis of a batch's arrays over `data` and `fsdp`."""

  def split(x):
    axes = (BATCH,) if np.ndim(x) else ()
    spec = fitting_spec(np.shape(x), axes, dict(mesh.shape))
    return jax.device_put(x, NamedSharding(mesh, spec))

  return jax.tree.map(split, batch)


def local_rows(mesh: Mesh, size: int) -> np.ndarray:
  """The rows of a batch of `size` that this process's devices hold, rising.

  Several processes hold the same rows where `tensor` goes across them.
  """
  held = _over_rows(mesh, size).addressable_devices_indices_map((size,))
  rows = [np.arange(size)[places] for places in held.values()]
  return np.unique(np.concatenate(rows))


def place_rows(rows: Any, size: int, mesh: Mesh) -> Any:
  """A batch of `size` on the mesh, of which each process has `local_rows`."""
  split = _over_rows(mesh, size)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(
      split, x, (size, *x.shape[1:])
    ),
    rows,
  )


def _over_rows(mesh: Mesh, size: int) -> NamedSharding:
  return NamedSharding(mesh, fitting_spec((size,), (BATCH,), dict(mesh.shape)))
