"""Refusing what is not finite: losses, and what would be saved."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax.training import metrics
from rlhf_jax.types import Params, TrainState

ADVICE = (
  'lower the learning rate, or look at the last rows of its metrics.jsonl. The '
  'newest checkpoint before it is kept'
)


def check_losses(row: Mapping[str, float], stage: str, step: int) -> None:
  """Refuses a row of metrics with a term of the loss that is not finite.

  Raises:
    FloatingPointError: naming the first such term.
  """
  for name, value in row.items():
    if name.startswith(metrics.LOSS) and not math.isfinite(value):
      raise FloatingPointError(
        f'{stage}: {name} is {value} at step {step}; {ADVICE}'
      )


def check_params(params: Params, where: str) -> None:
  """Refuses parameters with NaN or infinity among them.

  Raises:
    FloatingPointError: naming `where` they go and the first such array.
  """
  _check(params, jnp.isfinite, where, 'not finite')


def check_state(state: TrainState, where: str) -> None:
  """Refuses a state whose parameters are not finite, or with NaN in the rest.

  Raises:
    FloatingPointError: as of `check_params`.
  """
  check_params(state.params, where)
  # Infinity is where some optimizers start, as in "the best loss so far".
  _check((state.opt_state, state.extra), _is_number, where, 'not a number')


def _is_number(x):
  return ~jnp.isnan(x)


def _check(
  tree: Any, good: Callable[[jax.Array], jax.Array], where: str, how: str
) -> None:
  leaves = {
    jax.tree_util.keystr(path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  }
  all_good = {name: _all(leaf, good) for name, leaf in leaves.items()}
  bad = [name for name, fine in jax.device_get(all_good).items() if not fine]
  if bad:
    raise FloatingPointError(
      f'{where} is not saved: {bad[0]} is {how}'
      + (f', and so are {len(bad) - 1} more' if len(bad) > 1 else '')
      + f'; {ADVICE}'
    )


@functools.partial(jax.jit, static_argnums=1)
def _all(leaf, good):
  """One leaf a program, which those of its shape share in every stage."""
  return good(leaf).all()
