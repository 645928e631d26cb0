"""Rewards shaped by how long a response is and whether it ended:
kernels.rewards."""

from rlhf_jax.kernels import rewards


def length_penalty(
  inputs,
  *,
  max_new_tokens,
  overlong_buffer_len,
  overlong_penalty_factor,
  stop_properly_penalty_coef,
):
  """Of their coefficient's two meanings each is a function of ours."""
  scores, ended = inputs['rewards'], inputs['truncated'] == 0
  coef = stop_properly_penalty_coef
  penalty = rewards.overlong_penalty(
    inputs['response_length'],
    max_length=max_new_tokens,
    buffer=overlong_buffer_len,
    factor=overlong_penalty_factor,
  )
  return {
    'overlong': scores - penalty,
    'stop_properly': (
      rewards.scale_unended(scores, ended, factor=coef)
      if coef >= 0.0
      else rewards.replace_unended(scores, ended, value=coef)
    ),
  }


ADAPTERS = {'shaping.length_penalty': length_penalty}
