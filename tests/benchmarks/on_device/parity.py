"""Whether a device computes what the CPU does in float32."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.on_device import machine

# The most that two results may differ, in units of the largest one.
BOUNDS = {'float32': 1e-4, 'bfloat16': 4e-2}
BOTH = tuple(BOUNDS)


class Case(NamedTuple):
  """A function of float arrays, and what it should give.

  Attributes:
    function: what runs on the device, on arrays of either type.
    arrays: float32.
    expected: what runs on the CPU in its place; None for the same.
    types: of the arrays.
  """

  function: Callable[..., Any]
  arrays: tuple[np.ndarray, ...]
  expected: Callable[..., Any] | None = None
  types: tuple[str, ...] = ('float32',)


def graded(function: Callable[..., jax.Array]) -> Callable[..., Any]:
  """What a function gives, and the gradients of the sum of its sines."""

  def both(*arrays):
    def total(arrays):
      out = function(*arrays)
      wide = jax.tree.map(lambda x: x.astype(jnp.float32), out)
      sines = jax.tree.map(lambda x: jnp.sum(jnp.sin(x)), wide)
      return sum(jax.tree.leaves(sines)), out

    gradients, out = jax.grad(total, has_aux=True)(arrays)
    return {'value': out, 'gradient': gradients}

  return both


def measure(cases: Mapping[str, Case]) -> dict[str, dict[str, Any]]:
  """{case and type: its largest error and where, the bound, whether it holds}.

  What fails is told, and the others are measured.
  """
  cpu, device = (jax.local_devices(backend=name)[0] for name in ('cpu', None))
  found = {}
  for name, case in cases.items():
    for kind in case.types:
      given = [np.asarray(x, jnp.dtype(kind)) for x in case.arrays]
      exact = [x.astype(np.float32) for x in given]
      try:
        expected = _run(case.expected or case.function, exact, cpu)
        actual = _run(case.function, given, device)
        error, at = apart(actual, expected)
        row = {'error': error, 'bound': BOUNDS[kind], 'at': at}
        row['holds'] = error <= BOUNDS[kind]
      except Exception as e:
        row = {'failed': machine.said(e), 'holds': False}
      found[f'{name}, {kind}'] = row
  return found


def _run(function, arrays, device):
  with jax.default_device(device), jax.default_matmul_precision('highest'):
    placed = jax.device_put(arrays, device)
    return jax.device_get(jax.jit(function)(*placed))


def apart(actual: Any, expected: Any) -> tuple[float, str]:
  """The most that two trees differ, and at which leaf.

  In units of the leaf's largest value; infinite where one has a number that the
  other has not.
  """

  errors = []
  for (path, b), a in zip(
    jax.tree_util.tree_leaves_with_path(expected),
    jax.tree.leaves(actual),
    strict=True,
  ):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    error = np.inf
    if np.array_equal(np.isfinite(a), np.isfinite(b)):
      a, b = (np.where(np.isfinite(x), x, 0.0) for x in (a, b))
      error = np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-6)
    errors.append((float(error), jax.tree_util.keystr(path)))
  return max(errors)
