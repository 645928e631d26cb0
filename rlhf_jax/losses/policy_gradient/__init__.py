"""Objectives that raise the probability of what did better than expected.

Log-probs in nats and advantages per token; losses [...] per token, not averaged
(a reduction of kernels.masking does that). Advantages and old log-probs are
targets made elsewhere; gradients are meant for `logps` alone.

`weighted` are REINFORCE under constant weights, `surrogates` limit a function
of each token's ratio, `responses` that of a whole response's. What is often
added to them, a penalty on the KL to the reference, is `divergences.k3` or
`importance.reweighted_k3`.
"""

from rlhf_jax.losses.policy_gradient.responses import (
  clipped_response_surrogate,
  clipped_sequence_surrogate,
  sequence_surrogate,
)
from rlhf_jax.losses.policy_gradient.surrogates import (
  clipped_surrogate,
  dual_clipped_surrogate,
  is_clipped,
  sapo,
)
from rlhf_jax.losses.policy_gradient.weighted import (
  cispo,
  policy_gradient,
  vespo,
)
