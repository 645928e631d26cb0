"""Proximal policy optimisation, with a KL penalty in the reward.

Each step: answer prompts, score the answers, take the KL off token by token,
estimate advantages with the critic, then a few clipped steps on the batch.

Source: Schulman et al. 2017; Ziegler et al. 2019, §2; Ouyang et al. 2022, §3.5.
"""

import dataclasses
import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import advantages, divergences, masking, rewards
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as objectives
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers
from rlhf_jax.training.compile import jitted
from rlhf_jax.training.metrics import Stopwatch
from rlhf_jax.types import Experience, Mean

init = policy_gradient.init
loss = policy_gradient.loss
update = policy_gradient.update


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(policy_gradient.Config):
  """PPO as the field runs it; values of AlpacaFarm and TRL where papers differ.

  Attributes:
    steps: rounds of sampling and learning.
    batch_size: prompts a round.
    samples: responses to each prompt.
    sampling: what is cut from the policy's law when sampling, if anything; its
      temperature is `temperature`.
    kl_coef: penalty per nat of KL to the reference.
    kl_estimator: (logps, reference_logps) -> per-token penalty.
    score_clip: scores are clipped to ± this; None leaves them.
    unended_penalty: taken off the score of a response without end-of-text.
    whiten_rewards: divide rewards by their deviation over the whole batch.
    whiten_advantages: shift and scale advantages over the whole batch.
    discount: of the next token's value.
    gae_lambda: 1 for plain returns, 0 for one-step differences.
    optimizer: of the policy.
    critic_optimizer: of the critic; the policy's where None.
  """

  steps: int
  batch_size: int = 512
  samples: int = 1
  sampling: Sampling = Sampling()
  objective: Callable[..., chex.Array] = functools.partial(
    objectives.clipped_surrogate, clip_epsilon=0.2
  )
  critic: policy_gradient.Critic = policy_gradient.separate_critic
  value_coef: float = 0.1
  kl_coef: float = 0.02
  kl_estimator: Callable[..., chex.Array] = divergences.k1
  score_clip: float | None = None
  unended_penalty: float = 1.0
  whiten_rewards: bool = False
  whiten_advantages: bool = True
  discount: float = 1.0
  gae_lambda: float = 0.95
  epochs: int = 2
  minibatches: int = 2
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-5)
  critic_optimizer: optimizers.Adam | None = None

  def make_optimizer(self):
    """The optimizers of policy and critic, over all inner steps."""
    inner_steps = self.steps * self.epochs * self.minibatches
    roles = {'policy': self.optimizer}
    if self.critic is not policy_gradient.no_critic:
      roles['critic'] = self.critic_optimizer or self.optimizer
    return optimizers.by_role(
      {role: optimizers.adam(o, inner_steps) for role, o in roles.items()}
    )

  def initial_extra(self):
    """What is adapted as training goes: the KL coefficient, if anything."""
    return {} if self.kl_control is None else {'kl_coef': self.kl_coef}


def collect(params, frozen, prompts, key, *, models, config):
  """Samples, scores and shapes a batch. Returns (Experience [B, K], metrics).

  Args:
    params: {'policy', 'critic'}.
    frozen: {'reference', and 'reward' where a model scores}.
    prompts: Prompts [B, P].
    key: of the step; each sample's key is folded from it, the prompt's index
      and the sample's number.
    models: with a sampler and a scorer.
    config: a Config.
  """
  stopwatch = Stopwatch()
  with stopwatch('sample'):
    sampling = config.sampling.replace(temperature=config.temperature)
    rollouts = jax.block_until_ready(
      models.sampler(
        params['policy'],
        prompts,
        key,
        samples=config.samples,
        sampling=sampling,
      )
    )
  with stopwatch('score'):
    scores = jnp.asarray(models.scorer(frozen, rollouts), jnp.float32)
    batch, metrics = jitted(shape)(
      params, frozen, rollouts, scores, models=models, config=config
    )
    jax.block_until_ready(batch)
  return batch, metrics | stopwatch.metrics()


def shape(params, frozen, rollouts, scores, *, models, config):
  """Turns scored rollouts into experience. Returns (Experience, metrics).

  Args:
    params: {'policy', 'critic'}.
    frozen: {'reference'}.
    rollouts: Rollouts [B, K, T].
    scores: [B, K] in reward units.
    models: policy and critic.
    config: a Config.
  """
  flat = policy_gradient.flatten_rollouts(rollouts)
  flat_scores, (_, mask) = scores.reshape(-1), flat.responses
  now = policy_gradient.evaluate(params, flat, models=models, config=config)
  reference = policy_gradient.evaluate(
    {'policy': frozen['reference']},
    flat,
    models=models,
    config=dataclasses.replace(config, critic=policy_gradient.no_critic),
  )
  if config.score_clip is not None:
    flat_scores = jnp.clip(flat_scores, -config.score_clip, config.score_clip)
  flat_scores = rewards.penalise_unended(
    flat_scores, flat.ended, penalty=config.unended_penalty
  )
  token_rewards = rewards.token_rewards(
    flat_scores,
    now.logps,
    reference.logps,
    mask,
    kl_coef=config.kl_coef,
    estimator=config.kl_estimator,
  )
  if config.whiten_rewards:
    token_rewards = masking.whiten(token_rewards, mask, shift_mean=False)
  estimate = functools.partial(
    advantages.gae, discount=config.discount, gae_lambda=config.gae_lambda
  )
  gains, returns = jax.vmap(estimate)(token_rewards, now.values, mask)
  if config.whiten_advantages:
    gains = masking.whiten(gains, mask)
  metrics = policy_gradient.rollout_metrics(
    flat, now, reference.logps, scores=scores.reshape(-1), returns=returns
  )
  metrics['reward'] = Mean.of(masking.masked_sum(token_rewards, mask, axis=-1))
  metrics['kl_coef'] = Mean.of(config.kl_coef)
  per_token = (now.logps, reference.logps, now.values, gains, returns)
  return Experience(
    rollouts,
    *(x.reshape(*scores.shape, x.shape[-1]) for x in per_token),
  ), metrics


def stages(
  config: Config,
  *,
  data: str = 'prompts',
  start: str = 'sft',
  reward: str = 'reward_model',
  name: str = 'ppo',
) -> dict[str, Stage]:
  """{name}: policy from `start`, critic from the reward model."""
  return {
    name: Stage(
      init=init,
      update=update,
      collect=collect,
      config=config,
      data=data,
      start={'policy': start, 'critic': reward},
      frozen={'reference': start, 'reward': reward},
      log_every=1,
      checkpoint_every=10,
    )
  }
