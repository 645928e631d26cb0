"""Imitation: how improbable the policy finds what it should say."""

import chex


def negative_log_likelihood(logps: chex.Array) -> chex.Array:
  """−logps [...], in nats, not averaged.

  Given log-probs of tokens it is the cross-entropy of each; given those of
  whole responses, of each response. How tokens are averaged is a reduction of
  kernels.masking.
  """
  chex.assert_type(logps, float)
  return -logps
