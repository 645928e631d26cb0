"""ReMax: REINFORCE, the score of the greedy response its baseline.

Each prompt is answered twice, by sampling and greedily, and the sampled
response is credited with by how much it scores above the greedy one. No critic,
no ratio, one step a round; policy, reference and reward model are all that is
held in memory.

The paper and its released code treat rewards differently: `paper` credits every
token with the gap and all the KL that follows it, sums over tokens, and does
not discount; `released` discounts, clips the gap, credits a token with its own
KL alone, whose mean is not the KL's gradient, and averages over tokens.

Source: Li et al. 2024 (ReMax).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.generation import draws
from rlhf_jax.kernels import advantages, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.stages import Online
from rlhf_jax.training import optimizers
from rlhf_jax.training.compile import override
from rlhf_jax.training.metrics import Stopwatch
from rlhf_jax.types import (
  Experience,
  Mean,
  Metrics,
  Models,
  Params,
  Prompts,
  Rollouts,
  TrainState,
)
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count, NonNegative, Positive, Share
from rlhf_jax.types.values import checked

init = policy_gradient.init
loss = policy_gradient.loss
update = policy_gradient.update


def one_step(
  gaps: chex.Array,
  penalties: chex.Array,
  mask: chex.Array,
  *,
  discount: chex.Numeric,
) -> chex.Array:
  """Returns [N, R] from gaps [N], each token less its own penalty [N, R]."""
  seen = functools.partial(advantages.one_step_returns, discount=discount)
  return jax.vmap(seen)(gaps, penalties, mask)


def to_go(
  gaps: chex.Array,
  penalties: chex.Array,
  mask: chex.Array,
  *,
  discount: chex.Numeric,
) -> chex.Array:
  """Returns [N, R] from gaps [N], each token less all penalties that follow.

  Without discount this is REINFORCE's return, and unbiased.
  """
  follow = functools.partial(advantages.discounted_returns, discount=discount)
  alone = one_step(gaps, jnp.zeros_like(penalties), mask, discount=discount)
  return alone - jax.vmap(follow)(penalties, mask)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(policy_gradient.OnlineConfig):
  """One round's rewards; `paper` and `released` are its presets.

  Attributes:
    gap_clip: the gap, sampled less greedy score, is clipped to ± this; None
      leaves it.
    returns: (gaps [N], penalties [N, R], mask [N, R], discount=) -> [N, R]:
      `to_go` or `one_step`.
    discount: of the next token; it falls on the last token too.
  """

  batch_size: Count = 128
  objective: policy_gradient.Objective = surrogates.policy_gradient
  reduction: policy_gradient.Reduction = masking.sequence_sum
  kl_coef: NonNegative = 0.05
  gap_clip: Positive | None = None
  returns: Annotated[Callable[..., chex.Array], Called(3, ('discount',))] = (
    to_go
  )
  discount: Share = 1.0
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-6, warmup=0.0, decay=optimizers.cosine, weight_decay=0.1
  )

  def __post_init__(self):
    super().__post_init__()
    policy_gradient.refuse(self)

  @property
  def fewest_sampled(self) -> int:
    """1: the greedy response is sampled alone."""
    return 1


def paper(**values) -> Config:
  """The paper's algorithm: sums over tokens, no discount, KL to go."""
  own = {'reduction': masking.sequence_sum, 'returns': to_go, 'discount': 1.0}
  return Config(**(own | values))


def released(**values) -> Config:
  """The released code's rewards and averaging, of its Llama 2 7B script.

  It samples by top-p 0.9 and yet scores by the whole distribution; here nothing
  is cut.
  """
  own = {
    'reduction': masking.token_mean,
    'returns': one_step,
    'discount': 0.99,
    'gap_clip': 5.0,
  }
  return Config(**(own | values))


def shape(
  params: Params,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  greedy_scores: chex.Array,
  *,
  models: Models,
  config: Config,
) -> tuple[Experience, Metrics]:
  """Turns scored rollouts into experience. Returns (Experience, metrics).

  Args:
    params: {'policy'}.
    frozen: {'reference'}.
    rollouts: Rollouts [B, K, T].
    scores: [B, K] in reward units.
    greedy_scores: [B] of the greedy responses, less the penalties; of a
      prompt whose greedy response has no score, no response is in the mask.
    models: with a policy.
    config: a Config.
  """
  measured = policy_gradient.measure(
    params, frozen, rollouts, scores, models=models, config=config
  )
  gaps = measured.groups(measured.scores) - greedy_scores[:, None]
  if config.gap_clip is not None:
    gaps = jnp.clip(gaps, -config.gap_clip, config.gap_clip)
  penalties = config.kl_coef * config.kl_estimator(
    policy_gradient.penalised_logps(measured, config),
    measured.reference_logps,
  )
  advantages = config.returns(
    gaps.reshape(-1), penalties, measured.mask, discount=config.discount
  )
  batch, metrics = policy_gradient.experience(
    measured,
    advantages=advantages,
    response_rewards=policy_gradient.sequence_rewards(measured, config),
    config=config,
  )
  counted = measured.has_score
  metrics['greedy_score'] = Mean.of(greedy_scores, jnp.any(counted, axis=-1))
  metrics['gap'] = Mean.of(gaps, counted)
  return batch, metrics


def collect(
  state: TrainState,
  frozen: Mapping[str, Params],
  prompts: Prompts,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Experience, Metrics]:
  """Answers, also greedily, scores and shapes. Returns (Experience, metrics).

  Args:
    state: params {'policy'}, and in `extra` the KL coefficient if it adapts.
    frozen: {'reference', and 'reward' where a model scores}.
    prompts: Prompts [B, P].
    key: of the step; each sample's key is folded from it.
    models: with a sampler and a scorer.
    config: a Config.
  """
  stopwatch = Stopwatch()
  greedily = override(
    config,
    {'samples': 1, 'sampling': config.sampling.replace(draw=draws.greedy)},
  )
  policy = models.sampler.load(state.params['policy'])
  (rollouts, scores), (greedy, greedy_scores) = (
    policy_gradient.sample_and_score(
      policy,
      frozen,
      prompts,
      key,
      models=models,
      config=which,
      stopwatch=stopwatch,
    )
    for which in (config, greedily)
  )
  del policy  # What follows needs its memory.
  with stopwatch('score'):
    greedy_scores = policy_gradient.penalised(greedy_scores, greedy, config)
    unscored = ~jnp.any(greedy.response_mask, axis=-1)
    rollouts = policy_gradient.leave_out(rollouts, unscored)
    batch, metrics = policy_gradient.shape_scored(
      shape,
      state,
      frozen,
      rollouts,
      scores,
      greedy_scores[:, 0],
      models=models,
      config=config,
    )
  return batch, metrics | stopwatch.metrics()


# Where it starts from is also the reference.
stages = Online(name='remax', init=init, update=update, collect=collect)
