"""Learning from rewarded samples of the policy, with or without a critic."""

from rlhf_jax.learners.policy_gradient.collecting import (
  OnlineConfig,
  collect,
  leave_out,
  refuse,
  sample_and_score,
  shape_scored,
)
from rlhf_jax.learners.policy_gradient.evaluation import (
  Critic,
  MeasuredRollouts,
  TokenOutputs,
  evaluate,
  experience,
  flatten_rollouts,
  measure,
  no_critic,
  penalised,
  penalised_logps,
  separate_critic,
  sequence_rewards,
  shape_by_group,
  shared_trunk,
  token_rewards,
)
from rlhf_jax.learners.policy_gradient.round_metrics import (
  response_kl,
  rollout_metrics,
)
from rlhf_jax.learners.policy_gradient.updating import (
  Config,
  Objective,
  Reduction,
  arrays_for,
  init,
  loss,
  update,
)
