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
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ('data', 'fsdp', 'tensor')
BATCH = ('data', 'fsdp')  # What a batch's leading axis is split over.

Axis = str | tuple[str, ...] | None


class ResidualLayout(NamedTuple):
  """How a residual stream [B, T, D] lies on the mesh.

  Attributes:
    rows: axes that B is split over.
    length: axes that T is split over between the parts of a block.
    width: axes that D is split over.
  """

  rows: Axis
  length: Axis
  width: Axis


# Rows are split over all devices that a batch is, and weights are gathered for
# them, layer by layer: worth it where there are many tokens.
# What is kept for the backward pass is split over `tensor` too.
BY_ROWS = ResidualLayout(BATCH, 'tensor', None)
# Weights stay where they lie, split over `fsdp` along the width of the stream,
# and the stream travels: worth it for a token a row.
BY_WIDTH = ResidualLayout('data', None, 'fsdp')

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
  return Mesh(arranged(devices, sizes), AXES, axis_types=types)


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


def arranged(devices: Sequence[jax.Device], sizes: Sequence[int]) -> np.ndarray:
  """Devices as a mesh of `sizes`, one for each of `AXES`.

  On TPUs an axis goes along the links between chips, and slices, which only
  the slower network connects, lie along `data` as far as it goes. Elsewhere,
  and of TPUs that are no whole block of chips, devices come as they are given.

  Raises:
    ValueError: several slices that the axes cannot be split over.
  """
  given = np.asarray(devices).reshape(sizes)
  if len(devices) == 1 or devices[0].platform != 'tpu':
    return given
  slices = len({getattr(device, 'slice_index', 0) for device in devices})
  outer = across_slices(sizes, slices)
  inner = [size // split for size, split in zip(sizes, outer, strict=True)]
  options = {'devices': devices, 'allow_split_physical_axes': True}
  try:
    if slices == 1:
      return mesh_utils.create_device_mesh(inner, **options)
    return mesh_utils.create_hybrid_device_mesh(inner, outer, **options)
  except (AssertionError, NotImplementedError):
    return given


def across_slices(sizes: Sequence[int], slices: int) -> tuple[int, int, int]:
  """How many slices lie along each of `AXES`.

  As many as divide `data`, whose devices exchange gradients once a step; the
  rest along `fsdp`, whose devices gather weights; none along `tensor`.

  Raises:
    ValueError: data and fsdp together do not divide so.
  """
  data, fsdp, _ = sizes
  along = math.gcd(data, slices)
  rest = slices // along
  if fsdp % rest:
    raise ValueError(
      f'a mesh of data={data} and fsdp={fsdp} cannot be split over {slices} '
      f'slices of TPUs; set mesh.data to a multiple of {slices}'
    )
  return along, rest, 1


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
  spec = fitting_spec(x.shape, axes, mesh.shape)
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


def fewest(devices: int, samples: int) -> int:
  """The fewest prompts whose responses devices share evenly.

  Args:
    devices: that share a batch.
    samples: responses to each prompt.
  """
  return devices // math.gcd(devices, samples)


def sharing(prompts: int, samples: int = 1) -> int:
  """The fewest of these prompts that must stay together in a part of a batch.

  So that the devices of the mesh that is set share each part's responses
  evenly; 1 where they do not share the whole batch's evenly either.
  """
  together = fewest(_sharing_devices(), samples)
  return 1 if prompts % together else together


def copies(prompts: int, samples: int) -> int:
  """How many copies of each prompt the devices of the mesh share evenly.

  A prompt's responses are dealt out over its copies; 1 where these do not
  divide so.
  """
  devices = _sharing_devices()
  each = devices // math.gcd(devices, prompts)
  return 1 if samples % each else each


def _sharing_devices():
  mesh = jax.sharding.get_abstract_mesh()
  return 1 if mesh.empty else batch_devices(mesh)


def leaf_path(path: tuple[Any, ...]) -> str:
  """The '/'-joined names of a key path: `policy/layers/attention/query`."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


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
        return NamedSharding(mesh, fitting_spec(leaf.shape, axes, mesh.shape))
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
    spec = fitting_spec(np.shape(x), axes, mesh.shape)
    placed = NamedSharding(mesh, spec)
    if placed.is_fully_addressable or isinstance(x, jax.Array):
      return jax.device_put(x, placed)
    # Every process has the whole of it, and takes what its devices hold.
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, placed, lambda at: x[at])

  return jax.tree.map(split, batch)


def local_rows(mesh: Mesh, size: int) -> np.ndarray:
  """The rows of a batch of `size` that this process's devices hold, rising.

  Several processes hold the same rows where `tensor` goes across them, or any
  axis that does not divide the rows.
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
  return NamedSharding(mesh, fitting_spec((size,), (BATCH,), mesh.shape))
