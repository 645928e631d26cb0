"""REINFORCE: what a response earned raises or lowers its probability.

The score lies on the last token and the KL to the reference on each; a token is
credited with all that comes after it. No baseline, no critic, one step a round:
what other methods improve on.

`reinforce_plus_plus` whitens these returns over the batch and clips as PPO
does; `reinforce_plus_plus_baseline` first takes off the mean score of all
responses to the prompt.

Source: Williams 1992; Hu et al. 2025 (REINFORCE++).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import chex
import jax

from rlhf_jax.kernels import advantages, baselines, divergences, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.stages import Online
from rlhf_jax.training import optimizers
from rlhf_jax.types import Experience, Metrics, Models, Params, Rollouts
from rlhf_jax.types.rules import Count, NonNegative, Share
from rlhf_jax.types.values import checked

init = policy_gradient.init
loss = policy_gradient.loss
update = policy_gradient.update


def as_scored(scores: chex.Array, mask: chex.Array) -> chex.Array:
  """Scores [B, K] as they are: no baseline."""
  del mask
  return scores


def as_earned(returns: chex.Array, mask: chex.Array) -> chex.Array:
  """Returns [N, R] as they are, in reward units."""
  del mask
  return returns


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(policy_gradient.OnlineConfig):
  """Plain REINFORCE, the whole response one term of the sum.

  Attributes:
    baseline: (scores [B, K], mask [B, K]) -> scores less a baseline [B, K],
      before the KL is taken off: `as_scored` or of kernels.baselines.
    normalise: (returns [N, R], mask [N, R]) -> advantages [N, R], over the
      whole batch: `as_earned`, masking.whiten or masking.centre.
    discount: of the next token's return.
  """

  batch_size: Count = 512
  objective: policy_gradient.Objective = surrogates.policy_gradient
  reduction: policy_gradient.Reduction = masking.sequence_sum
  kl_coef: NonNegative = 0.05
  baseline: Callable[[chex.Array, chex.Array], chex.Array] = as_scored
  normalise: Callable[[chex.Array, chex.Array], chex.Array] = as_earned
  discount: Share = 1.0
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-6)

  def __post_init__(self):
    super().__post_init__()
    alone = self.baseline is as_scored
    policy_gradient.refuse(self, fewest_samples=1 if alone else 2)


def reinforce_plus_plus(**values) -> Config:
  """REINFORCE++: returns whitened over the batch, clipped steps.

  Source: Hu et al. 2025; values of OpenRLHF's scripts.
  """
  own = {
    'batch_size': 1024,
    'objective': functools.partial(
      surrogates.clipped_surrogate, clip_epsilon=0.2
    ),
    'reduction': masking.token_mean,
    'kl_coef': 1e-4,
    'normalise': masking.whiten,
    'minibatches': 8,
    'optimizer': optimizers.Adam(learning_rate=5e-7),
  }
  return Config(**(own | values))


def reinforce_plus_plus_baseline(**values) -> Config:
  """Its variant for groups: less the group's mean; the KL, by k2, in the loss.

  Source: Hu et al. 2025; values of OpenRLHF's scripts.
  """
  own = {
    'batch_size': 128,
    'samples': 8,
    'baseline': baselines.group_mean,
    'kl_coef': 0.0,
    'reference_objective': divergences.k2,
    'reference_coef': 1e-3,
  }
  return reinforce_plus_plus(**(own | values))


def shape(
  params: Params,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  *,
  models: Models,
  config: Config,
) -> tuple[Experience, Metrics]:
  """Turns scored rollouts into experience. Returns (Experience, metrics).

  Args: as of `policy_gradient.measure`.
  """
  measured = policy_gradient.measure(
    params, frozen, rollouts, scores, models=models, config=config
  )
  centred = config.baseline(
    measured.groups(measured.scores), measured.has_score
  )
  rewards = policy_gradient.token_rewards(measured, centred.reshape(-1), config)
  follow = functools.partial(
    advantages.discounted_returns, discount=config.discount
  )
  returns = jax.vmap(follow)(rewards, measured.mask)
  return policy_gradient.experience(
    measured,
    advantages=config.normalise(returns, measured.mask),
    response_rewards=policy_gradient.sequence_rewards(measured, config),
    config=config,
  )


collect = functools.partial(policy_gradient.collect, shape=shape)


# Where it starts from is also the reference.
stages = Online(name='reinforce', init=init, update=update, collect=collect)
