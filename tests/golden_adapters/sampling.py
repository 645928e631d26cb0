"""Next-token rules: generation.sampling."""

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import sampling


def transform(
  inputs,
  *,
  prompt_len,
  eos_token_id=(),
  epsilon_cutoff=None,
  eta_cutoff=None,
  **settings,
):
  """The published generator's settings; ours by its names but for two."""
  stop_ids = np.atleast_1d(eos_token_id).astype(int).tolist()
  settings |= {'epsilon': epsilon_cutoff, 'eta': eta_cutoff}
  logits, tokens = inputs['logits'], inputs['input_ids']
  seen = jax.nn.one_hot(tokens, logits.shape[-1]).any(axis=1)
  cut = sampling.transform(
    logits,
    sampling.Sampling(**settings),
    seen=seen,
    step=tokens.shape[1] - prompt_len,
    stop_ids=tuple(stop_ids),
  )
  return {
    'filtered_logits': cut,
    'log_probs': jax.nn.log_softmax(cut),
    'kept': jnp.isfinite(cut).astype(jnp.int32),
  }


ADAPTERS = {'sampling.transform': transform}
