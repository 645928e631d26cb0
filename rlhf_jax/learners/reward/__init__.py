"""Learning a reward model from ranked responses, alone or beside two views."""

from rlhf_jax.learners.reward import multi_view
from rlhf_jax.learners.reward.comparisons import Config, init, loss, update
