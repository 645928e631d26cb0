"""A product with weights whose gradient moves the smaller of two factors."""

import chex
import jax


@jax.custom_vjp
def widen(x: chex.Array, kernel: chex.Array) -> chex.Array:
  """x [B, T, D] times a kernel [D, …] of many columns: [B, T, …].

  The kernel's gradient is xᵀ times the output's, in this order: by the rule of
  products it would be the transpose of the other order, for which a CPU turns
  the output's gradient round in memory, and that is the wider of the two.
  """
  return jax.lax.dot_general(x, kernel, (((2,), (0,)), ((), ())))


def _forward(x, kernel):
  return widen(x, kernel), (x, kernel)


def _backward(kept, gradient):
  x, kernel = kept
  columns = range(1, kernel.ndim)
  own = [axis + 1 for axis in columns]
  of_x = jax.lax.dot_general(gradient, kernel, ((own, columns), ((), ())))
  of_kernel = jax.lax.dot_general(x, gradient, (((0, 1), (0, 1)), ((), ())))
  return of_x, of_kernel


widen.defvjp(_forward, _backward)
