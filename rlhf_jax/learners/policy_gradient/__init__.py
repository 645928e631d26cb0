"""Learning from rewarded samples of the policy, with or without a critic."""

from rlhf_jax.learners.policy_gradient.collecting import (
  collect,
  leave_out,
  refuse,
  sample_and_score,
  shape_scored,
)
from rlhf_jax.learners.policy_gradient.configs import (
  Config,
  Critic,
  Objective,
  OnlineConfig,
  Reduction,
  no_critic,
  separate_critic,
  shared_trunk,
)
from rlhf_jax.learners.policy_gradient.evaluation import (
  MeasuredRollouts,
  TokenOutputs,
  evaluate,
  experience,
  flatten_rollouts,
  measure,
  penalised,
  penalised_logps,
  sequence_rewards,
  shape_by_group,
  token_rewards,
)
from rlhf_jax.learners.policy_gradient.round_metrics import (
  response_kl,
  rollout_metrics,
)
from rlhf_jax.learners.policy_gradient.updating import (
  arrays_for,
  init,
  loss,
  update,
)
