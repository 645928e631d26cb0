"""Golden cases on disk: arrays in, arrays out, and how near ours must come."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


@flax.struct.dataclass
class Omitted:
  """An output that ours has no counterpart of, and why."""

  reason: str = flax.struct.field(pytree_node=False)


@flax.struct.dataclass
class Where:
  """An output that ours has a counterpart of in some places only.

  Attributes:
    value: [...] ours.
    compared: [...] bool, in which places.
    reason: why not in the others.
  """

  value: chex.Array
  compared: chex.Array
  reason: str = flax.struct.field(pytree_node=False)


@dataclasses.dataclass(frozen=True)
class Case:
  """One recorded computation.

  Attributes:
    folder: where its index lies.
    entry: its line of the index: name, kind, params, tolerance and so on.
  """

  folder: pathlib.Path
  entry: dict[str, Any]

  @property
  def name(self) -> str:
    return self.entry['name']

  @property
  def kind(self) -> str:
    return self.entry['kind']

  def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and recorded outputs.

    Raises:
      ValueError: the file is not the one that the index describes.
    """
    path = self.folder / self.entry['file']
    if hashlib.sha256(path.read_bytes()).hexdigest() != self.entry['sha256']:
      raise ValueError(f'{path} is not the file that index.json describes.')
    with np.load(path) as stored:
      return tuple(
        {k.removeprefix(side): stored[k] for k in stored if k.startswith(side)}
        for side in ('in.', 'out.')
      )


def read_index(folder: pathlib.Path) -> list[Case]:
  """The cases below a folder, as its index.json lists them."""
  index = json.loads((folder / 'index.json').read_text())
  return [Case(folder, entry) for entry in index['cases']]


def merge(folders: list[pathlib.Path]) -> dict[str, Case]:
  """The cases of all folders by id, each file once.

  The id is the case's name; a later folder's case of that name with another
  file behind it is told apart by its folder's name.
  """
  merged, seen = {}, set()
  for folder in folders:
    for case in read_index(folder):
      fingerprint = (case.name, case.entry['sha256'])
      if fingerprint in seen:
        continue
      seen.add(fingerprint)
      taken = case.name in merged
      merged[f'{folder.name}:{case.name}' if taken else case.name] = case
  return merged


def compute(case: Case, adapter, inputs) -> dict[str, Any]:
  """Ours: the adapter's outputs, and the gradients that were recorded.

  Gradients are jax.grad of the output that the case names, in each input X
  whose grad_X was recorded, unless the adapter says otherwise.
  """
  params, grad_of = case.entry['params'], case.entry.get('grad_of')

  def differentiated(name, value):
    return adapter(inputs | {name: value}, **params)[grad_of]

  @jax.jit  # Of no arguments, so that adapters may cut by what inputs say.
  def run():
    ours = dict(adapter(inputs, **params))
    for output in case.entry['outputs']:
      name = output.removeprefix('grad_')
      if name != output and output not in ours:
        ours[output] = jax.grad(differentiated, 1)(name, inputs[name])
    return ours

  inputs = {name: jnp.asarray(value) for name, value in inputs.items()}
  return run()


def difference(case: Case, output: str, ours, recorded) -> str:
  """What is wrong with ours, or ''.

  Undefined entries of the reference (nan, 0/0) are not compared; −inf marks
  the removed tokens of sampling.transform, which have to be the same.
  """
  compared = np.ones(np.shape(recorded), bool)
  if isinstance(ours, Where):
    compared, ours = np.asarray(ours.compared, bool), ours.value
  ours = np.asarray(ours)
  if ours.shape != recorded.shape:
    return f'shape {ours.shape}, not {recorded.shape}'
  ours, recorded = ours[compared], recorded[compared]
  if recorded.dtype.kind != 'f':
    return '' if np.array_equal(ours, recorded) else f'{ours} != {recorded}'
  finite = np.isfinite(recorded)
  if case.kind == 'sampling.transform':
    if not np.array_equal(finite, np.isfinite(ours)):
      return 'another set of removed tokens'
  elif not np.isfinite(ours).all():
    return 'not finite'
  rtol, atol = case.entry['tolerance'][output]
  errors = np.abs(ours[finite].astype(np.float64) - recorded[finite])
  excess = errors - (atol + rtol * np.abs(recorded[finite]))
  if not (excess <= 0.0).all():
    return f'off by up to {errors.max():.3e} (atol {atol:.1e}, rtol {rtol:.1e})'
  return ''
