"""Learning a reward model from ranked responses.

Alone, beside two views of other responses (`multi_view`), or through a
bottleneck in its own path (`variational`).
"""

from rlhf_jax.learners.reward import multi_view, variational
from rlhf_jax.learners.reward.comparisons import Config, init, loss, update
