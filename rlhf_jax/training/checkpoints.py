"""Checkpoints of a train state, by Orbax: asynchronous, atomic, exact."""

import hashlib
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from rlhf_jax.types import Params, TrainState


class Checkpoints:
  """The newest states of one stage, in a folder of its own.

  Attributes:
    meta: what is written beside every state (the config, the run's key), and
      what a state found in the folder must have been written beside.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    *,
    meta: Mapping[str, Any],
    keep: int = 1,
    asynchronous: bool = True,
  ):
    self.meta = dict(meta)
    # Orbax moves an old step to the trash before it deletes it, so that a kill
    # in the middle of a deletion leaves no half of a step in the list.
    shutil.rmtree(folder / 'trash', ignore_errors=True)
    self._manager = ocp.CheckpointManager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        todelete_subdir='trash',
        enable_async_checkpointing=asynchronous,
        create=True,
      ),
    )

  def save(self, state: TrainState) -> None:
    """Starts writing `state` under its step; training goes on meanwhile."""
    # The step is the data position: a batch is a function of the step.
    self._manager.save(
      int(state.step),
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        meta=ocp.args.JsonSave(self.meta),
      ),
    )

  def restore(self, like: TrainState) -> TrainState:
    """The newest state, laid out as `like`; `like` itself if there is none.

    Raises:
      ValueError: the newest state was written under another config.
    """
    step = self._manager.latest_step()
    if step is None:
      return like
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    found = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(abstract),
        meta=ocp.args.JsonRestore(),
      ),
    )
    if found['meta'] != self.meta:
      raise ValueError(
        f'the checkpoint in {self._manager.directory} was written under '
        f'another config; give another folder, or --fresh to start over'
      )
    return found['state']

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *_) -> None:
    """Waits until what was saved is on disk, whatever ended the run."""
    self._manager.wait_until_finished()
    self._manager.close()


def save_params(folder: pathlib.Path, params: Params) -> None:
  """Writes the parameters that a finished stage hands on."""
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder.absolute(), params, force=True)


def load_params(folder: pathlib.Path, like: Params) -> Params:
  """Reads what `save_params` wrote, laid out as `like`, arrays or structs."""
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(folder.absolute(), abstract)


def checksum(params: Params) -> str:
  """Sixteen hexadecimal digits of the names, shapes, types and bytes."""
  found = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    array = np.asarray(leaf)
    found.update(f'{path} {array.dtype} {array.shape}'.encode())
    found.update(array.tobytes())
  return found.hexdigest()[:16]
