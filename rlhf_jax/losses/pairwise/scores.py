"""Reward models' objectives over pairs: of two scores, in reward units.

All of this depends on the difference of two scores of one prompt alone, but
`centering`, which pins down the rest.
"""

import chex
import jax
import jax.numpy as jnp


def bradley_terry(
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  margins: chex.Numeric = 0.0,
) -> chex.Array:
  """Negative log-likelihood of the annotator's choice; one loss per pair.

  −log σ(r_chosen − r_rejected − m). Released code also writes it as
  log(1 + exp(r_rejected − r_chosen)): the same function, which overflows in
  that form and does not here.

  Args:
    chosen_scores: [...] of the preferred responses.
    rejected_scores: [...] of the other ones.
    margins: [...], or one for all: by how much the chosen score has to be
      larger before the loss is that of a tie. Llama 2 uses 1, 2/3, 1/3, 0 by
      how clear the preference was (or, for its larger margins, 3, 2, 1, 0).

  Returns:
    [...] losses in nats, not averaged.

  Source: Ouyang et al. 2022, eq. 1; margins, Touvron et al. 2023 (Llama 2),
  eq. 2.
  """
  chex.assert_type([chosen_scores, rejected_scores], float)
  chex.assert_equal_shape([chosen_scores, rejected_scores])
  margins = _per_pair(margins, chosen_scores)
  return -jax.nn.log_sigmoid(chosen_scores - rejected_scores - margins)


def scaled_bradley_terry(
  chosen_scores: chex.Array, rejected_scores: chex.Array, margins: chex.Numeric
) -> chex.Array:
  """Bradley–Terry in which a clear preference counts as several; per pair.

  −m log σ(r_chosen − r_rejected).

  Args:
    chosen_scores: [...] of the preferred responses.
    rejected_scores: [...] of the other ones.
    margins: [...], or one for all: m ≥ 0, by how much the data prefer the
      first; 1 to 3 in HelpSteer2-Preference.

  Returns:
    [...] losses in nats, not averaged, and not divided by the margins.

  Source: Wang et al. 2024 (HelpSteer2-Preference), scaled Bradley–Terry.
  """
  losses = bradley_terry(chosen_scores, rejected_scores)
  return _per_pair(margins, chosen_scores) * losses


def centering(
  chosen_scores: chex.Array, rejected_scores: chex.Array
) -> chex.Array:
  """(r_chosen + r_rejected)² [...]: draws the mean score of a prompt to 0.

  Added to a pairwise loss with a small coefficient (0.01 is usual), it settles
  the constant per prompt that a difference leaves open. In reward units
  squared, not averaged.

  Source: Eisenstein et al. 2023, "Helping or Herding?", eq. 2.
  """
  chex.assert_type([chosen_scores, rejected_scores], float)
  chex.assert_equal_shape([chosen_scores, rejected_scores])
  return (chosen_scores + rejected_scores) ** 2


def _per_pair(values, scores):
  """One number for all pairs, or one for each; nothing that broadcasts else."""
  if jnp.ndim(values):
    chex.assert_equal_shape([values, scores])
  return values
