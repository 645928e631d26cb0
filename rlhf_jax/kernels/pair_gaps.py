"""How far the chosen response of a pair is ahead of the rejected one.

Of log-ratios, log π(y) − log π_ref(y), the gap is DPO's Δ, and β times it the
difference of two implicit rewards. A margin is something else: how large data
or a loss ask for a difference to be.
"""

import chex

from rlhf_jax.kernels import length_bias


def gaps(chosen: chex.Array, rejected: chex.Array) -> chex.Array:
  """chosen − rejected [...], of log-ratios or log-probs, in nats."""
  chosen, rejected = alike(chosen, rejected)
  return chosen - rejected


def mean_gaps(
  chosen: chex.Array,
  rejected: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
) -> chex.Array:
  """The same per token, each over its response's length.

  Args:
    chosen: [...] of whole responses, in nats: sums, not means.
    rejected: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].

  Returns:
    [...] in nats per token; an empty response counts as 0.
  """
  return gaps(
    length_bias.mean_logps(chosen, chosen_lengths),
    length_bias.mean_logps(rejected, rejected_lengths),
  )


def alike(*arrays: chex.Array) -> tuple[chex.Array, ...]:
  """The arrays, refused where they are not floats of one shape [...]."""
  chex.assert_type(arrays, float)
  chex.assert_equal_shape(arrays)
  return arrays
