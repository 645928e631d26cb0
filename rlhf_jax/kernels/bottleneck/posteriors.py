"""Gaussian posteriors of views, N(means, diag exp(log_variances)); float32."""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.types.rules import Positive


@jax.jit
def softplus_log_variance(raw: chex.Array) -> chex.Array:
  """2 log(softplus(raw) + 1e-7) [...], of raw deviations [...].

  Source: Federici et al. 2020, the released code's deviation.
  """
  chex.assert_type(raw, float)
  return 2.0 * jnp.log(jax.nn.softplus(raw.astype(jnp.float32)) + 1e-7)


@jax.jit
def tanh_log_variance(raw: chex.Array, *, limit: Positive = 8.0) -> chex.Array:
  """limit · tanh(raw / limit) [...], of raw deviations [...].

  Unlike clipping it has a gradient beyond the limit.
  """
  chex.assert_type(raw, float)
  return limit * jnp.tanh(raw.astype(jnp.float32) / limit)


@jax.jit
def sample(
  key: chex.PRNGKey, means: chex.Array, log_variances: chex.Array
) -> chex.Array:
  """A latent z = μ + exp(l / 2) ε, ε ~ N(0, 1), of each posterior; l = log σ².

  Args:
    key: consumed.
    means: [..., d].
    log_variances: [..., d].

  Returns:
    [..., d] float32, through which gradients reach both.

  Source: Kingma and Welling 2014, section 2.4.
  """
  _check_posteriors(means, log_variances)
  noise = jax.random.normal(key, means.shape)
  deviations = jnp.exp(0.5 * log_variances.astype(jnp.float32))
  return means.astype(jnp.float32) + deviations * noise


@jax.jit
def standard_normal_kl(
  means: chex.Array, log_variances: chex.Array
) -> chex.Array:
  """KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²) of each posterior.

  Args:
    means: [..., d].
    log_variances: [..., d].

  Returns:
    [...] float32 in nats, summed over latents.

  Source: Kingma and Welling 2014, appendix B.
  """
  _check_posteriors(means, log_variances)
  means = means.astype(jnp.float32)
  log_variances = log_variances.astype(jnp.float32)
  each = means**2 + jnp.expm1(log_variances) - log_variances
  return 0.5 * jnp.sum(each, axis=-1)


def averaged_standard_normal_kl(
  means: chex.Array, log_variances: chex.Array
) -> chex.Array:
  """`standard_normal_kl` of one latent, the d latents' average; as of that.

  Of the means' mean and of the log-variances' mean: latents that are far from 0
  on both sides cost nothing.

  Source: the released code of InfoRM (Miao et al. 2024).
  """
  _check_posteriors(means, log_variances)
  averaged = (
    jnp.mean(x.astype(jnp.float32), axis=-1, keepdims=True)
    for x in (means, log_variances)
  )
  return standard_normal_kl(*averaged)


@jax.jit
def symmetrised_kl(
  means_1: chex.Array,
  log_variances_1: chex.Array,
  means_2: chex.Array,
  log_variances_2: chex.Array,
) -> chex.Array:
  """½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)] of diagonal Gaussians, in closed form.

  Σ sinh²(δ / 2) + ¼ (μ₁ − μ₂)² (e^−l₁ + e^−l₂) with δ = l₁ − l₂. The usual form
  e^δ + e^−δ − 2 loses all its digits as δ goes to 0; this one does not.

  Args:
    means_1: [..., d], and so the others.

  Returns:
    [...] in nats, summed over the d latents; 0 exactly for equal posteriors.

  Source: Lang et al. 2024 (RLP): a mean of the two, not their sum.
  """
  _check_posteriors(means_1, log_variances_1, means_2, log_variances_2)
  gap = means_1.astype(jnp.float32) - means_2.astype(jnp.float32)
  l1, l2 = (x.astype(jnp.float32) for x in (log_variances_1, log_variances_2))
  precisions = jnp.exp(-l1) + jnp.exp(-l2)
  each = jnp.sinh(0.5 * (l1 - l2)) ** 2 + 0.25 * gap**2 * precisions
  return jnp.sum(each, axis=-1)


@jax.jit
def sampled_symmetrised_kl(
  latents_1: chex.Array,
  latents_2: chex.Array,
  means_1: chex.Array,
  log_variances_1: chex.Array,
  means_2: chex.Array,
  log_variances_2: chex.Array,
) -> chex.Array:
  """`symmetrised_kl` from one latent of each view: as large on average.

  ½ [log p₁(z₁) − log p₂(z₁) + log p₂(z₂) − log p₁(z₂)]; may be negative.

  Args:
    latents_1: [..., d], drawn from the first view's posterior.
    latents_2: [..., d], from the second's.
    means_1: [..., d], and so the others.

  Returns:
    [...] in nats, summed over the d latents.

  Source: Federici et al. 2020, the released code's loss.
  """
  posteriors = (means_1, log_variances_1, means_2, log_variances_2)
  _check_posteriors(latents_1, latents_2, *posteriors)

  def log_ratios(latents):  # log p₁ − log p₂, less the constants of both.
    z = latents.astype(jnp.float32)
    m1, l1, m2, l2 = (x.astype(jnp.float32) for x in posteriors)
    first = (z - m1) ** 2 * jnp.exp(-l1) + l1
    second = (z - m2) ** 2 * jnp.exp(-l2) + l2
    return 0.5 * jnp.sum(second - first, axis=-1)

  return 0.5 * (log_ratios(latents_1) - log_ratios(latents_2))


def _check_posteriors(*arrays):
  chex.assert_type(arrays, float)
  chex.assert_equal_shape(arrays)
