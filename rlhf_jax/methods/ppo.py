"""Proximal policy optimisation, with a KL penalty in the reward.

Each step: answer prompts, score the answers, take the KL off token by token,
estimate advantages with the critic, then a few clipped steps on the batch.

Source: Schulman et al. 2017; Ziegler et al. 2019, §2; Ouyang et al. 2022, §3.5.
"""

import dataclasses
import functools
from collections.abc import Mapping

import chex
import jax

from rlhf_jax.kernels import advantages, masking
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


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(policy_gradient.OnlineConfig):
  """PPO as the field runs it; values of AlpacaFarm and TRL where papers differ.

  Attributes:
    whiten_rewards: divide rewards by their deviation over the whole batch; the
      reward that is logged, too.
    whiten_advantages: shift and scale advantages over the whole batch.
    discount: of the next token's value.
    gae_lambda: 1 for plain returns, 0 for one-step differences.
    critic_optimizer: of the critic; the policy's where None.
  """

  batch_size: Count = 512
  objective: policy_gradient.Objective = functools.partial(
    surrogates.clipped_surrogate, clip_epsilon=0.2
  )
  critic: policy_gradient.Critic = policy_gradient.separate_critic
  value_coef: NonNegative = 0.1
  kl_coef: NonNegative = 0.02
  unended_penalty: NonNegative = 1.0
  whiten_rewards: bool = False
  whiten_advantages: bool = True
  discount: Share = 1.0
  gae_lambda: Share = 0.95
  epochs: Count = 2
  minibatches: Count = 2
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-5)
  critic_optimizer: optimizers.Adam | None = None

  def roles(self) -> dict[str, optimizers.Adam]:
    """The policy's, and the critic's where there is one."""
    own = {'policy': self.optimizer}
    if self.critic is not policy_gradient.no_critic:
      own['critic'] = self.critic_optimizer or self.optimizer
    return own


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
  mask = measured.mask
  rewards = policy_gradient.token_rewards(measured, measured.scores, config)
  if config.whiten_rewards:
    rewards = masking.whiten(rewards, mask, shift_mean=False)
  estimate = functools.partial(
    advantages.gae, discount=config.discount, gae_lambda=config.gae_lambda
  )
  estimates, returns = jax.vmap(estimate)(
    rewards, measured.outputs.values, mask
  )
  if config.whiten_advantages:
    estimates = masking.whiten(estimates, mask)
  return policy_gradient.experience(
    measured,
    advantages=estimates,
    returns=returns,
    response_rewards=masking.masked_sum(rewards, mask, axis=-1),
    config=config,
  )


collect = functools.partial(policy_gradient.collect, shape=shape)


# The critic starts from the reward model: of several, from the first; fresh
# where a program scores, or a policy that is read as a reward.
stages = Online(
  name='ppo',
  init=init,
  update=update,
  collect=collect,
  start={'policy': 'start', 'critic': 'reward'},
)
