"""Next-token rules: generation.sampling."""

import jax
import jax.numpy as jnp

from rlhf_jax.generation import sampling


def transform(inputs, *, prompt_len, eos_token_id=None, **settings):
  logits, tokens = inputs['logits'], inputs['input_ids']
  seen = jax.nn.one_hot(tokens, logits.shape[-1]).any(axis=1)
  cut = sampling.transform(
    logits,
    sampling.Sampling(**settings),
    seen=seen,
    step=tokens.shape[1] - prompt_len,
    stop_ids=() if eos_token_id is None else (eos_token_id,),
  )
  return {
    'filtered_logits': cut,
    'log_probs': jax.nn.log_softmax(cut),
    'kept': jnp.isfinite(cut).astype(jnp.int32),
  }


ADAPTERS = {'sampling.transform': transform}
