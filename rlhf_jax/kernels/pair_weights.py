"""Weights of pairs that the policy did not write itself.

They multiply the losses of pairs, and are constants: no gradient flows through
them. In WPO (`on_policy`) a response weighs about 1 if it is as probable, token
by token, as what the policy would sample in its place, and little if the policy
would never say it; a pair weighs the product of its two. In OCRM
(`off_policy_corrected`) it weighs by how much more the policy says it than the
one that the data are from.

Source: Zhou et al. 2024, "WPO: Enhancing RLHF with Weighted Preference
Optimization", eq. 2 with the alignment by the policy's own samples; Ackermann
et al. 2025 (OCRM).
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import types
from rlhf_jax.kernels import distributions, importance, logps, masking
from rlhf_jax.types.rules import NonNegative, Share


def log_expected_probabilities(logits: chex.Array) -> chex.Array:
  """log Σᵥ π(v)²: of the probability that a sampled token has, its mean.

  Args:
    logits: [..., V].

  Returns:
    [...] float32 in nats, between −log V and 0.
  """
  chex.assert_type(logits, float)
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  return jax.nn.logsumexp(2.0 * log_probs, axis=-1)


def next_token_log_expected(
  model: types.LanguageModel,
  params: types.Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
) -> chex.Array:
  """`log_expected_probabilities` of what each token from 1 on is drawn from.

  As many columns at a time as make no more logits than
  `distributions.PLAIN_LOGITS`, so that [N, T, V] of them are never there.

  Args:
    model: the policy.
    params: its parameters.
    tokens: [N, T] int.
    attention_mask: [N, T] bool, True on real tokens.

  Returns:
    [N, T − 1] float32 in nats, no gradient; anything where masked.
  """
  params = jax.lax.stop_gradient(params)
  hidden = logps.before_tokens(model.hidden(params, tokens, attention_mask))
  columns = jnp.moveaxis(hidden, 1, 0)

  def read(column):
    return model.logits(params, column)

  of_column = jax.eval_shape(read, columns[0]).size
  found = jax.lax.map(
    lambda column: log_expected_probabilities(read(column)),
    columns,
    batch_size=max(1, distributions.PLAIN_LOGITS // of_column),
  )
  return jnp.moveaxis(found, 0, 1)


def response_weights(
  token_logps: chex.Array, log_expected: chex.Array, mask: chex.Array
) -> chex.Array:
  """exp of the mean over tokens of log π(yₜ) − log Σᵥ π(v)².

  Args:
    token_logps: [..., R] the policy's, in nats.
    log_expected: [..., R] of `log_expected_probabilities`, aligned with them.
    mask: [..., R] bool, True on response tokens.

  Returns:
    [...] weights > 0, no gradient; 1 for a response without tokens.
  """
  chex.assert_type([token_logps, log_expected, mask], [float, float, bool])
  chex.assert_equal_shape([token_logps, log_expected, mask])
  surplus = masking.masked_mean(token_logps - log_expected, mask, -1)
  return jax.lax.stop_gradient(jnp.exp(surplus))


def on_policy(
  token_logps: chex.Array, log_expected: chex.Array, mask: chex.Array
) -> chex.Array:
  """WPO's weight of a pair, the product of its two `response_weights`.

  Args: [..., 2, R], as of `response_weights`.

  Returns:
    [...] weights > 0, no gradient.
  """
  of_each = response_weights(token_logps, log_expected, mask)
  return jnp.prod(of_each, axis=-1)


def off_policy_corrected(
  logps: chex.Array,
  reference_logps: chex.Array,
  *,
  share: Share,
  flattening: NonNegative,
) -> chex.Array:
  """OCRM's weight of a pair, exp(η Σ ρ) over its responses.

  ρ is `importance.relative_log_ratios` of a whole response. With η = 1 and
  share 0 it is the ratio of the two policies' probabilities of the pair, whose
  variance is beyond use; η flattens it.

  Args:
    logps: [..., K] of whole responses under the policy of now, in nats.
    reference_logps: [..., K] under the policy that the data are from.
    share: a of the relative ratio, in [0, 1].
    flattening: η; 0 weighs all alike.

  Returns:
    [...] weights > 0, no gradient.

  Source: Ackermann et al. 2025, "Off-Policy Corrected Reward Modeling".
  """
  each = importance.relative_log_ratios(logps, reference_logps, share=share)
  exponents = flattening * jnp.sum(each, axis=-1)
  weights = importance.ratios(exponents, jnp.zeros_like(exponents))
  return jax.lax.stop_gradient(weights)
