"""Ids that are no tokens: rows of a model beyond its tokenizer's, and gaps.

Models often have more rows than the tokenizer has tokens. What such a row says
is nobody's text, so its logit is −∞ wherever a distribution is made: its
probability is 0 for the sampler, the trainer and the reference alike, and
nothing is learnt from it.
"""

import chex
import jax.numpy as jnp
import numpy as np


def present(vocabulary: int, absent: tuple[int, ...]) -> np.ndarray:
  """[V] bool, False on the absent ids."""
  is_token = np.ones(vocabulary, bool)
  is_token[list(absent)] = False
  return is_token


def rule_out(logits: chex.Array, absent: tuple[int, ...]) -> chex.Array:
  """Logits [..., V], −∞ at the absent ids; as they are where there are none."""
  if not absent:
    return logits
  return jnp.where(present(logits.shape[-1], absent), logits, -jnp.inf)
