"""How far a policy is from its reference, estimated per token and exactly.

The estimators take the log-probs of tokens that the policy sampled and depend
only on d = logps − reference_logps. Their means estimate KL(policy ‖ reference)
(all but `absolute`). Anything clipped is a composition: jnp.clip(k1(…), …).

Exponentials of log-ratios go on as their tangent beyond a bound, so that value
and gradient stay finite and of the right sign. At the default bound of 40 the
gradient is 2e17, and its square, which a gradient's norm sums, still fits in
float32.

Source of k1, k2, k3: Schulman 2020, "Approximating KL divergence".
"""

import chex
import jax
import jax.numpy as jnp


def k1(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """d [...], in nats. Unbiased, of either sign: the one to put in a reward."""
  chex.assert_type([logps, reference_logps], float)
  chex.assert_equal_shape([logps, reference_logps])
  return logps - reference_logps


def k2(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """d²/2 [...]. Biased, but its gradient on policy is that of the KL."""
  return 0.5 * k1(logps, reference_logps) ** 2


def k3(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """exp(−d) − 1 + d [...]. Unbiased, never negative, of lower variance.

  Beyond −d = 80, where float32 is about to overflow, on the tangent.
  """
  d = k1(logps, reference_logps)
  return tangent_expm1(-d, bound=80.0) + d


def absolute(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """|d| [...], a penalty rather than an estimate (NeMo-Aligner's default)."""
  return jnp.abs(k1(logps, reference_logps))


def categorical_kl(
  logits: chex.Array, reference_logits: chex.Array
) -> chex.Array:
  """KL(policy ‖ reference) over the whole vocabulary; no sampling noise.

  Σᵥ p(v) (log p(v) − log q(v)), p and q the softmaxes of the logits.

  Args:
    logits: [..., V] the policy's; −inf where a token is ruled out.
    reference_logits: [..., V].

  Returns:
    [...] in nats; inf where the policy has mass that the reference rules out.
  """
  chex.assert_type([logits, reference_logits], float)
  chex.assert_equal_shape([logits, reference_logits])
  logps = jax.nn.log_softmax(logits.astype(jnp.float32))
  reference_logps = jax.nn.log_softmax(reference_logits.astype(jnp.float32))
  # Where p is 0 the term is 0, whatever the logs, and so is its gradient.
  differences = jnp.where(jnp.isneginf(logps), 0.0, k1(logps, reference_logps))
  return jnp.sum(jnp.exp(logps) * differences, axis=-1)


def tangent_exp(x: chex.Array, *, bound: float = 40.0) -> chex.Array:
  """exp(x) [...], and past `bound` its tangent there."""
  chex.assert_type(x, float)
  exponent = jnp.minimum(x, bound)
  return jnp.exp(exponent) * (1.0 + (x - exponent))


def tangent_expm1(x: chex.Array, *, bound: float = 40.0) -> chex.Array:
  """exp(x) − 1 [...], exact near 0, and past `bound` its tangent there."""
  chex.assert_type(x, float)
  exponent = jnp.minimum(x, bound)
  return jnp.expm1(exponent) + jnp.exp(exponent) * (x - exponent)


def power_transform(x: chex.Array, alpha: chex.Numeric) -> chex.Array:
  """(1 − exp(−α x)) / α [...] of a log-ratio x, past −α x = 40 its tangent.

  With α > 0 it falls ever faster as x does, with α < 0 it levels off, and at
  α = 0 it is x.
  """
  # Below 1e-20 the quotient would underflow; no digit of float32 differs.
  is_straight = jnp.abs(alpha) < 1e-20
  safe = jnp.where(is_straight, 1.0, alpha)
  return jnp.where(is_straight, x, -tangent_expm1(-safe * x) / safe)
