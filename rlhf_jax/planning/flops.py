"""FLOPs of a program's products, without those whose results nobody reads."""

import fractions
import math
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def of(program: core.ClosedJaxpr, *, loop_steps: int = 1) -> int:
  """FLOPs of the matrix products of a program, on all devices together.

  A multiplication and an addition are two. A scan's body counts as often as it
  runs, the dearest branch of a cond once, and of a kernel's grid half, since
  attention kernels skip the blocks above the diagonal.

  Args:
    program: as it is traced; dead code counts nothing, as the compiler drops
      it.
    loop_steps: how often the body of a loop runs that ends by itself, in all,
      however often it begins.
  """
  jaxpr = _open(program)
  live, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
  return int(_of_jaxpr(live, loop_steps))


def _of_jaxpr(jaxpr, loop_steps):
  return sum(_of_equation(each, loop_steps) for each in jaxpr.eqns)


def _of_equation(equation, loop_steps):
  name, params = equation.primitive.name, equation.params
  if name == 'dot_general':
    return _of_product(equation)
  if name == 'cond':
    return max(_of_jaxpr(j, loop_steps) for j in _inside(params['branches']))
  if name == 'scan':  # A loop in it begins so often.
    loop_steps = fractions.Fraction(loop_steps, params['length'])
  inner = sum(_of_jaxpr(j, loop_steps) for j in _inside(params))
  return (
    inner
    * _runs(name, params, loop_steps)
    // (2 if name == 'pallas_call' else 1)
  )


def _runs(name, params, loop_steps):
  """How often what is inside of an equation runs, on all devices together."""
  if name == 'scan':
    return params['length']
  if name == 'while':
    return loop_steps
  if name == 'shard_map':  # Inside are the shapes of one device.
    return math.prod(params['mesh'].shape.values())
  if name == 'pallas_call':
    return math.prod(params['grid_mapping'].grid)
  return 1


def _of_product(equation):
  """2 · (elements of the result) · (length of what is summed over)."""
  (summed, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  (result,) = equation.outvars
  return 2 * math.prod(result.aval.shape) * math.prod(left[i] for i in summed)


def _inside(value: Any) -> list[core.Jaxpr]:
  """The jaxprs that are a parameter, or in a list or dict of parameters."""
  return [
    _open(each)
    for each in jax.tree.leaves(value)
    if isinstance(each, core.ClosedJaxpr | core.Jaxpr)
  ]


def _open(jaxpr):
  """Without its constants; newer versions of jax have one kind of jaxprs."""
  return getattr(jaxpr, 'jaxpr', jaxpr)
