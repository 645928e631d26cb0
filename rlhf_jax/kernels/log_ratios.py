"""How much more a policy prefers one response to another than a reference does.

A response's log-ratio is log π(y) − log π_ref(y); β times it is DPO's implicit
reward, and β times a margin the difference of two of them.
"""

import chex

from rlhf_jax.kernels import length_bias


def margins(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
) -> chex.Array:
  """Δ: the log-ratio of the chosen response less that of the rejected one.

  Args:
    policy_chosen_logps: [...] log-prob of the whole response, in nats.
    policy_rejected_logps: [...].
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].

  Returns:
    [...] in nats; 0 where the policy is the reference.
  """
  chosen, rejected = of_each(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
  )
  return chosen - rejected


def mean_margins(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
) -> chex.Array:
  """Δ̄: the same of log-ratios per token, each over its response's length.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].

  Returns:
    [...] in nats per token; an empty response counts as 0.
  """
  chosen, rejected = of_each(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
  )
  chosen = length_bias.mean_logps(chosen, chosen_lengths)
  return chosen - length_bias.mean_logps(rejected, rejected_lengths)


def of_each(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
) -> tuple[chex.Array, chex.Array]:
  """The log-ratios [...] of the chosen and of the rejected response, in nats.

  Arguments as those of `margins`.
  """
  logps = [
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
  ]
  chex.assert_type(logps, float)
  chex.assert_equal_shape(logps)
  return (
    policy_chosen_logps - reference_chosen_logps,
    policy_rejected_logps - reference_rejected_logps,
  )
