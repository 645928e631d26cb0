"""Learning a reward model from ranked responses.

Alone, beside two views of other responses (`multi_view`), or through a
bottleneck in its own path (`variational`); of a trunk that stays the head alone
(`head`), or such a bottleneck (`variational_head`).
"""

from rlhf_jax.learners.reward import multi_view, variational, variational_head
from rlhf_jax.learners.reward.comparisons import Config, init, loss, update
