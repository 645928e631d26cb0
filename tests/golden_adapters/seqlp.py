"""Log-probs of tokens and responses: kernels.logps, then masking's averages."""

import jax.numpy as jnp

from rlhf_jax.kernels import distributions, logps, masking
from rlhf_jax.losses import supervised
from rlhf_jax.types import Demonstrations, LanguageModel

IGNORED = -100

# A policy whose parameters are the logits that were recorded.
GIVEN = LanguageModel(**dict.fromkeys(LanguageModel._fields))._replace(
  hidden=lambda params, *inputs, **options: params,
  logits=lambda params, hidden: hidden,
  token_logps=lambda params, hidden, targets, temperature=1.0: (
    distributions.token_logps(hidden, targets, temperature=temperature)
  ),
)


def next_token_logps(logits, tokens):
  """[B, T − 1] of tokens 1 on, logits [B, T, V]; one place shifts."""
  return logps.next_token_logps(
    GIVEN, logits, tokens, jnp.ones(tokens.shape, bool)
  )


def split_labels(labels):
  """Labels with −100 as tokens and the mask that says the same."""
  kept = labels != IGNORED
  return jnp.where(kept, labels, 0), kept


def batch_logps(inputs, *, average_log_prob):
  """Sums by response_logps; means by masked_mean, 0 for an empty row."""
  tokens, kept = split_labels(inputs['labels'])
  if average_log_prob:
    scored = next_token_logps(inputs['logits'], tokens)
    totals = masking.masked_mean(scored, kept[:, 1:], -1)
  else:
    batch = Demonstrations(tokens, jnp.ones(kept.shape, bool), kept)
    totals = logps.response_logps(GIVEN, inputs['logits'], batch)
  return {'logps': totals, 'loss': jnp.sum(totals)}


def entropy(inputs):
  """One function for both published forms, which differ by rounding alone."""
  entropies = distributions.entropies(inputs['logits'])
  mask = inputs['mask'].astype(bool)
  return {
    'entropy': entropies,
    'entropy_lse_form': entropies,
    'masked_mean_entropy': masking.masked_mean(entropies, mask),
    'loss': jnp.sum(entropies),
  }


def rrhf_score(inputs, *, length_penalty):
  """Labels are shifted already. The released score divides by the width T."""
  tokens, kept = split_labels(inputs['labels'])
  scored = distributions.token_logps(inputs['logits'], tokens)
  sums = masking.masked_sum(scored, kept, -1)
  lengths = jnp.maximum(masking.masked_sum(kept, kept, -1), 1.0)
  released = sums / kept.shape[-1] ** length_penalty
  return {
    'token_logps': jnp.where(kept, scored, 0.0),
    'score_released': released,
    'score_length_normalised': sums / lengths**length_penalty,
    'loss': jnp.sum(jnp.arange(1.0, 1.0 + len(sums)) * released),
  }


def sft_loss(inputs):
  tokens, kept = split_labels(inputs['labels'])
  scored = next_token_logps(inputs['logits'], tokens)
  losses = supervised.negative_log_likelihood(scored)
  by_token = masking.token_mean(losses, kept[:, 1:]).value
  by_sequence = masking.sequence_mean(losses, kept[:, 1:]).value
  return {
    'ce_token_mean': by_token,
    'sft_token_level': by_token,
    'sft_sample_level': by_sequence,
    'loss': by_token + 0.5 * by_sequence,
  }


def sum_mean_from_tokens(inputs):
  scored = inputs['per_token_logps']
  columns = jnp.arange(1, 1 + scored.shape[1])[None]
  kept = columns >= inputs['prompt_lens'][:, None]
  kept &= inputs['attention_mask'][:, 1:].astype(bool)
  sums = masking.masked_sum(scored, kept, -1)
  return {
    'logps_sum': sums,
    'logps_mean': masking.masked_mean(scored, kept, -1),
    'loss': jnp.sum(sums),
  }


def token_logps(inputs, *, temperature):
  scored = distributions.token_logps(
    inputs['logits'], inputs['index'], temperature=temperature
  )
  return {'logps': scored, 'loss': jnp.sum(inputs['weight'] * scored)}


def token_logps_ignore_pad(inputs, *, pad_token_id):
  """Ours never looks at pad ids: the caller says which labels count."""
  scored = distributions.token_logps(inputs['logits'], inputs['labels'])
  kept = inputs['labels'] != pad_token_id
  return {
    'logps': jnp.where(kept, scored, 0.0),
    'loss': masking.masked_sum(scored, kept),
  }


ADAPTERS = {
  'seqlp.batch_logps': batch_logps,
  'seqlp.entropy': entropy,
  'seqlp.rrhf_score': rrhf_score,
  'seqlp.sft_loss': sft_loss,
  'seqlp.sum_mean_from_tokens': sum_mean_from_tokens,
  'seqlp.token_logps': token_logps,
  'seqlp.token_logps_ignore_pad': token_logps_ignore_pad,
}
