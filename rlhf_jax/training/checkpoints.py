"""Checkpoints of a train state, by Orbax: asynchronous, atomic, sealed.

What is written is sealed with checksums of its files, in the background too,
and is not taken for whole before; on loading the checksums are compared. What
is not finite is never written.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from rlhf_jax import processes
from rlhf_jax.storage import files, seals
from rlhf_jax.storage.files import StorageError
from rlhf_jax.training import finite
from rlhf_jax.types import Mean, Metrics, Params, TrainState

# How Orbax calls what it has not committed.
UNFINISHED = '*.orbax-checkpoint-tmp*'
# Of the bytes of the arrays: what is free before they are written, since names,
# shapes and seals take room too, and a disk is not filled to its last byte.
ROOM = 1.25
SEED = np.uint32(0x9E3779B9)  # Of a checksum: a zero's bits alone mix to zero.


class _Sealed(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """A step that has its seal before Orbax deletes the one before it."""

  async def finalize(self):
    await super().finalize()
    final = pathlib.Path(self.get_final())
    if final.name.isdigit():  # Not one of its items, which it seals with it.
      seals.seal(final)


class _Manager(ocp.CheckpointManager):
  """One that does not ask whether processes are to stop when it saves.

  JAX tells all of them at one number of a question, and `stop_agreed` is who
  asks: a save's own question, by its step, would be told in its place.
  """

  def reached_preemption(self, step: int) -> bool:
    del step
    return False


class Checkpoints:
  """The newest states of one stage, in a folder of its own.

  Attributes:
    meta: what is written beside every state (the config, the run's key), and
      what a state found in the folder must have been written beside.
    pending: metrics since the last row, as `save` was given them, of the state
      that was restored.
  """

  def __init__(
    self, folder: pathlib.Path, *, meta: Mapping[str, Any], keep: int = 1
  ):
    self.meta, self.pending, self._folder = dict(meta), [], folder
    processes.by_first(lambda: _remove_unfinished(folder))
    self._manager = _Manager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep, temporary_path_class=_Sealed
      ),
    )

  def save(self, state: TrainState, pending: Sequence[Metrics] = ()) -> None:
    """Starts writing `state` under its step; training goes on meanwhile.

    Args:
      state: what to write; nothing is, where its step has been saved.
      pending: metrics of the steps since the last row of them.

    Raises:
      FloatingPointError: the state is not finite; what was saved is kept.
      StorageError: there is no room, or the state before was not written.
    """
    step = int(state.step)
    if step == self._manager.latest_step():
      return
    finite.check_state(state, f'{self._folder}: step {step}')
    with _naming(self._folder):
      self._manager.wait_until_finished()  # It takes room as well.
      need = _bytes(state)
      processes.by_first(lambda: _refuse_without_room(self._folder, need))
      # The step is the data position: a batch is a function of the step.
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave(
            {'meta': self.meta, 'pending': list(map(_as_json, pending))}
          ),
        ),
      )

  def restore(self, like: TrainState) -> TrainState | None:
    """The newest state, read straight into its shards; None if there is none.

    Args:
      like: its shapes and types, each with its shards, or such a state.

    Raises:
      DamagedError: it is not what was written.
      ValueError: it was written under another config.
    """
    step = processes.by_first(self._sound_step)
    if step is None:
      return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    found = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore()
      ),
    )
    if found['meta']['meta'] != self.meta:
      raise ValueError(
        f'the checkpoint in {self._folder} was written under another config; '
        f'give another folder, or --fresh to start over'
      )
    self.pending = list(map(_from_json, found['meta']['pending']))
    return found['state']

  def _sound_step(self):
    """The newest step, verified; None if there is none."""
    step = self._manager.latest_step()
    if step is not None:
      seals.verify(self._folder / str(step), delete=self._folder)
    return step

  def wait(self) -> None:
    """Waits until what was saved is on the disk.

    Raises:
      StorageError: it was not written.
    """
    with _naming(self._folder):
      self._manager.wait_until_finished()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
    """Waits until what was saved is on disk, whatever ended the run.

    But of several processes, where one alone has an error: the others do not
    come to wait with it.
    """
    if error is not None and not processes.agreed(error):
      return
    try:
      self.wait()
    finally:
      with contextlib.suppress(Exception):  # Raised by the line above.
        self._manager.close()
      processes.by_first(lambda: _remove_unfinished(self._folder))


def save_params(
  folder: pathlib.Path, params: Params, also: Sequence[pathlib.Path] = ()
) -> None:
  """Writes the parameters that a finished stage hands on, whole or not at all.

  Args:
    folder: of the parameters alone; what it held is replaced.
    params: a pytree of arrays.
    also: files of which a copy is kept beside them.

  Raises:
    FloatingPointError: they are not finite; nothing is written.
    StorageError: they could not be written.
  """
  finite.check_params(params, str(folder))
  need = _bytes(params)

  def begin():
    files.make_folder(folder.parent)
    _refuse_without_room(folder.parent, need)
    files.sweep(folder)
    return files.partial_of(folder)

  def finish():
    with _naming(folder):
      for path in also:
        if path.exists():
          shutil.copyfile(path, partial / path.name)
      seals.seal(partial)
      files.remove(folder)
      os.replace(partial, folder)
      files.fsync_folder(folder.parent)

  partial = processes.by_first(begin)
  try:
    with _naming(folder), ocp.StandardCheckpointer() as checkpointer:
      checkpointer.save(partial.absolute(), params)
    processes.by_first(finish)
  finally:
    if processes.first():
      for left in folder.parent.glob(f'{partial.name}*'):
        shutil.rmtree(left, ignore_errors=True)


def load_params(folder: pathlib.Path, like: Params) -> Params:
  """Reads what `save_params` wrote, laid out as `like`, arrays or structs.

  Straight into their shards and types. What is there of other names than `like`
  has, other roles, is not read.

  Raises:
    DamagedError: it is not what was written.
  """
  processes.by_first(lambda: seals.verify(folder, delete=folder.parent))
  wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, dict(like))
  unread = {k: x for k, x in abstract_params(folder).items() if k not in like}
  wanted |= jax.tree.map(lambda _: ocp.PLACEHOLDER, unread)
  how = ocp.args.PyTreeRestore(
    item=wanted,
    restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
  )
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    found = checkpointer.restore(folder.absolute(), args=how)
  return {name: found[name] for name in like}


def abstract_params(folder: pathlib.Path) -> Params:
  """Shapes and types of what `save_params` wrote."""
  with ocp.StandardCheckpointer() as checkpointer:
    found = checkpointer.metadata(folder.absolute()).item_metadata
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), dict(found)
  )


def _as_json(metrics: Metrics) -> dict[str, list[str]]:
  """Totals and weights, whose float32 are exact in JSON; NaN as words."""
  return {
    name: [str(float(mean.total)), str(float(mean.weight))]
    for name, mean in metrics.items()
  }


def _from_json(metrics: Mapping[str, list[str]]) -> Metrics:
  return {
    name: Mean(*(np.float32(float(number)) for number in pair))
    for name, pair in metrics.items()
  }


def _bytes(tree):
  return ROOM * sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _refuse_without_room(folder, need):
  with files.naming(folder):
    free = shutil.disk_usage(folder).free
  if free < need:
    raise StorageError(
      f'{folder}: the disk is full, {need / 2**20:.1f} MiB are needed and '
      f'{free / 2**20:.1f} are free; make room, and run the same command again'
    )


@contextlib.contextmanager
def _naming(folder: pathlib.Path) -> Iterator[None]:
  """Turns errors of the disk, Orbax's too, into StorageErrors of `folder`."""
  try:
    with files.naming(folder):
      yield
  except ValueError as e:  # So says TensorStore, which writes for Orbax.
    number = re.search(r"os_error_code='(\d+)'", str(e))
    if number is None:
      raise
    code = int(number[1])
    raise StorageError.of(folder, OSError(code, os.strerror(code))) from e


def _remove_unfinished(folder):
  """Deletes what a kill, or a disk that was full, left of a step."""
  files.make_folder(folder)
  steps = (path for path in folder.iterdir() if path.name.isdigit())
  unsealed = [path for path in steps if not seals.sealed(path)]
  for path in (*unsealed, *folder.glob(UNFINISHED)):
    shutil.rmtree(path, ignore_errors=True)


def checksum(params: Params) -> str:
  """Sixteen hexadecimal digits of the names, shapes, types and bits.

  Made where the arrays lie: of those on a mesh only sums travel. It tells
  apart what differs by accident, not what somebody made to be taken for it.
  """
  found = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    found.update(f'{path} {leaf.dtype} {leaf.shape}'.encode())
    found.update(processes.on_host(sums_of_bits(leaf)).tobytes())
  return found.hexdigest()[:16]


@jax.jit
def sums_of_bits(x: chex.Array) -> chex.Array:
  """[2] uint32, two sums of each value's bits mixed with its place.

  Of integers modulo 2³², so that it does not matter how an array is split.
  Source: Appleby 2016 (MurmurHash3, fmix32), for `_mixed`.
  """
  if x.dtype == bool:
    x = x.astype(jnp.uint8)
  width = min(x.dtype.itemsize, 4)
  bits = jax.lax.bitcast_convert_type(x, jnp.dtype(f'uint{8 * width}'))
  mixed = _mixed(bits.astype(jnp.uint32) ^ SEED)
  for axis in range(bits.ndim):
    places = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    mixed = _mixed(mixed ^ places)
  sums = (jnp.sum(each, dtype=jnp.uint32) for each in (mixed, _mixed(~mixed)))
  return jnp.stack(list(sums))


def _mixed(bits):
  """uint32 that all depend on each bit of those given."""
  bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
  bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
  return bits ^ (bits >> 16)
