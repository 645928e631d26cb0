"""Schedules of a coefficient over training."""

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import NonNegative, Share


def constant(progress: chex.Numeric, *, value: NonNegative = 1.0) -> chex.Array:
  """`value` throughout, [...] in the shape of `progress`."""
  return jnp.full(jnp.shape(progress), value, jnp.float32)


def linear(
  progress: chex.Numeric,
  *,
  start: NonNegative,
  end: NonNegative,
  hold: Share,
  full: Share,
) -> chex.Array:
  """A coefficient that is `start` until `hold` and `end` from `full` on.

  Args:
    progress: [...] share of all steps that is done, in [0, 1]; may be traced.
    start: the coefficient at first.
    end: the coefficient at last.
    hold: progress at which it begins to move.
    full: progress at which it has arrived; `hold` for a jump.

  Returns:
    [...] float32.
  """
  return start + (end - start) * _ramp(progress, hold, full)


def exponential(
  progress: chex.Numeric,
  *,
  start: NonNegative = 1e-3,
  end: NonNegative = 1.0,
  hold: Share = 0.05,
  full: Share = 0.16,
) -> chex.Array:
  """As `linear`, with the coefficient's log on the straight line.

  Source: Federici et al. 2020, the released code's schedule of β, whose 50 and
  150 of 937 thousand steps are the defaults.
  """
  return start * (end / start) ** _ramp(progress, hold, full)


def _ramp(progress, hold, full):
  """[...] 0 until `hold`, 1 from `full` on, a straight line between."""
  # The ends may be traced, so their order is not checked; equal ends jump.
  length = jnp.maximum(full - hold, 1e-9)
  done = (jnp.asarray(progress, jnp.float32) - hold) / length
  return jnp.clip(done, 0.0, 1.0)
