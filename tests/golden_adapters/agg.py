"""How losses are averaged: the reductions of kernels.masking."""

from rlhf_jax.kernels import masking


def openrlhf(inputs, *, dp_size, batch_num_tokens, global_batch_size):
  """The global forms put a weight known from elsewhere under the same total."""
  losses, mask = inputs['loss_matrix'], inputs['mask'].astype(bool)
  token = masking.token_mean(losses, mask)
  sequence = masking.sequence_mean(losses, mask)
  return {
    'token': token.value,
    'sequence': sequence.value,
    'token_global': token.replace(weight=batch_num_tokens / dp_size).value,
    'sequence_global': sequence.replace(
      weight=global_batch_size / dp_size
    ).value,
  }


def tunix(inputs):
  losses, mask = inputs['loss_matrix'], inputs['mask'].astype(bool)
  width = losses.shape[1]
  return {
    'token_mean': masking.token_mean(losses, mask).value,
    'sequence_mean_token_mean': masking.sequence_mean(losses, mask).value,
    'sequence_mean_token_scale': masking.sequence_sum(
      losses / width, mask
    ).value,
    'seq_mean_token_sum': masking.sequence_sum(losses, mask).value,
    'sequence_mean_token_sum_norm': masking.fixed_length(
      losses, mask, length=1
    ).value,
  }


ADAPTERS = {'agg.openrlhf': openrlhf, 'agg.tunix': tunix}
