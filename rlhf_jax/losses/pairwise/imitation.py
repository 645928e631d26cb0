"""Pairwise objectives to a reference, with the chosen response imitated beside.

DPO rewards a difference, and lets the chosen response become less probable as
long as the rejected one does so faster; its likelihood holds against that.
"""

import chex

from rlhf_jax.kernels import length_bias
from rlhf_jax.losses.pairwise import curves
from rlhf_jax.types.rules import NonNegative, Positive


def dpo_with_likelihood(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  *,
  beta: Positive,
  likelihood_coef: NonNegative,
) -> chex.Array:
  """DPO, and the chosen response's likelihood per token; one loss per pair.

  −log σ(β Δ) − α S_w / n_w, with S_w the policy's log-prob of the chosen
  response and n_w its tokens. The length divides the likelihood alone.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...] likewise; so too the reference's two.
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    beta: inverse temperature, > 0.
    likelihood_coef: α ≥ 0, 1 in the papers.

  Returns:
    [...] losses in nats, not averaged.

  Source: Prasad et al. 2024 (ScPO), whose pairs have weights, which multiply
  both terms; Pang et al. 2024 (Iterative RPO), without.
  """
  preference = curves.dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    beta=beta,
  )
  imitated = length_bias.mean_logps(policy_chosen_logps, chosen_lengths)
  return preference - likelihood_coef * imitated
