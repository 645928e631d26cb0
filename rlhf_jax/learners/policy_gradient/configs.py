"""What learning from rewarded samples is configured by, and its critics."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any

import chex
import jax.numpy as jnp
import optax

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import divergences, masking
from rlhf_jax.losses import supervised
from rlhf_jax.training import optimizers
from rlhf_jax.types import Mean, Models, Params
from rlhf_jax.types.calls import Called, offering
from rlhf_jax.types.rules import Count, NonNegative, Positive
from rlhf_jax.types.values import checked

# (losses [N, R], mask [N, R]) -> Mean: a function of kernels.masking.
Reduction = Callable[[chex.Array, chex.Array], Mean]
# What `arrays_for` gives, and what a correction may name.
ARRAYS = (
  'logps',
  'old_logps',
  'reference_logps',
  'sampler_logps',
  'advantages',
  'entropies',
  'mask',
)
CORRECTING = ('logps', 'sampler_logps', 'mask')
Objective = offering(ARRAYS)
# (models, params, hidden [N, T, D], tokens, attention_mask) -> values [N, T].
# Configs are checked by their annotations, and those of Params cannot be read.
Critic = Callable[[Models, Any, chex.Array, chex.Array, chex.Array], chex.Array]


def separate_critic(
  models: Models,
  params: Params,
  hidden: chex.Array,
  tokens: chex.Array,
  attention_mask: chex.Array,
) -> chex.Array:
  """Values by a network of its own, `params['critic']`."""
  del hidden
  return models.critic.values(params['critic'], tokens, attention_mask)


def shared_trunk(
  models: Models,
  params: Params,
  hidden: chex.Array,
  tokens: chex.Array,
  attention_mask: chex.Array,
) -> chex.Array:
  """Values by a head, `params['critic']`, on the policy's hidden states."""
  del tokens, attention_mask
  return models.critic.head(params['critic'], hidden)[..., 0]


def no_critic(
  models: Models,
  params: Params,
  hidden: chex.Array,
  tokens: chex.Array,
  attention_mask: chex.Array,
) -> chex.Array:
  """Values of 0, for methods whose baseline is not learnt."""
  del models, params, attention_mask, hidden
  return jnp.zeros(tokens.shape, jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """The update from a batch of experience.

  Attributes:
    objective: from those of `ARRAYS` that its parameters name to
      losses [N, R], its options bound.
    reference_objective: likewise, losses that hold the policy to the reference,
      as divergences.k3; None for none.
    reference_coef: their weight.
    correction: from those of logps (before the update), sampler_logps and mask
      that it names to constant weights [N, R] of the objective's losses, as
      importance.truncated_weights; None for none.
    token_mask: from those of `ARRAYS` that it names to the tokens
      [N, R] bool that the objective learns from, a function of
      kernels.token_masks; the others' losses are 0, and still count in the
      average. None for all.
    value_objective: (values, old_values, returns) [..., R] -> losses [..., R].
    critic: where values come from: `separate_critic`, `shared_trunk`,
      `no_critic`.
    reduction: how losses are averaged, of kernels.masking.
    value_coef: weight of the value loss.
    entropy_coef: weight of the entropy, in nats per token, that is kept up.
    temperature: at which the policy samples, and so is scored.
    epochs: passes over each batch.
    minibatches: optimizer steps in a pass.
    micro_batches: parts that a minibatch, and what a round samples and scores,
      is cut into, to save memory.
    kl_control: (kl_coef, KL in nats per response, steps=responses) -> the next
      kl_coef, as kernels.rewards.adaptive_kl_coef with its target and horizon
      bound; None keeps it fixed.
  """

  objective: Objective
  reference_objective: Objective | None = None
  reference_coef: NonNegative = 0.0
  correction: offering(CORRECTING) | None = None
  token_mask: Objective | None = None
  value_objective: Callable[
    [chex.Array, chex.Array, chex.Array], chex.Array
  ] = functools.partial(supervised.clipped_squared_error, clip_epsilon=0.2)
  critic: Critic = no_critic
  reduction: Reduction = masking.token_mean
  value_coef: NonNegative = 0.0
  entropy_coef: NonNegative = 0.0
  temperature: Positive = 1.0
  epochs: Count = 1
  minibatches: Count = 1
  micro_batches: Count = 1
  kl_control: (
    Annotated[Callable[..., chex.Array], Called(2, ('steps',))] | None
  ) = None

  @property
  def one_step(self) -> bool:
    """Whether a batch gives one step, taken by the policy that sampled."""
    return self.epochs * self.minibatches == 1


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class OnlineConfig(Config):
  """Rounds of sampling and learning.

  Attributes:
    steps: rounds.
    batch_size: prompts a round.
    samples: responses to each prompt.
    sampling: what is cut from the policy's distribution when sampling, if
      anything; its temperature is `temperature`.
    kl_coef: penalty per nat of KL to the reference, in the reward.
    kl_estimator: (logps, reference_logps) -> per-token penalty.
    score_clip: scores are clipped to ± this; None leaves them.
    unended_penalty: taken off the score of a response without end-of-text.
    length_penalty: (lengths [...], in tokens) -> [...] taken off the scores, in
      reward units, as rewards.overlong_penalty; None for none.
    optimizer: of the policy.
  """

  steps: Count
  batch_size: Count = 128
  samples: Count = 1
  sampling: Sampling = Sampling()
  kl_coef: NonNegative = 0.0
  kl_estimator: Callable[[chex.Array, chex.Array], chex.Array] = divergences.k1
  score_clip: Positive | None = None
  unended_penalty: NonNegative = 0.0
  length_penalty: Callable[[chex.Array], chex.Array] | None = None
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-6)

  def __post_init__(self):
    if self.sampling.temperature is not None:
      raise ValueError(
        "sampling has a temperature of its own; set the config's temperature, "
        'at which responses are scored, too'
      )
    if self.reference_objective is None and self.reference_coef:
      raise ValueError(
        f'reference_coef is {self.reference_coef}, and nothing reads it '
        'without a reference_objective; set that too, or leave it 0'
      )
    if self.responses % (self.minibatches * self.micro_batches):
      raise ValueError(
        f'minibatches is {self.minibatches} and micro_batches '
        f'{self.micro_batches}; together they must divide the '
        f'{self.responses} responses of a round evenly'
      )

  @property
  def responses(self) -> int:
    """How many a round learns from."""
    return self.batch_size * self.samples

  @property
  def fewest_sampled(self) -> int:
    """Responses to a prompt in the smallest call of the sampler."""
    return self.samples

  def roles(self) -> dict[str, optimizers.Adam]:
    """The optimizer of each role."""
    return {'policy': self.optimizer}

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizers of all roles, over all inner steps."""
    inner_steps = self.steps * self.epochs * self.minibatches
    return optimizers.by_role(
      {
        role: optimizers.adam(o, inner_steps)
        for role, o in self.roles().items()
      }
    )

  def initial_extra(self) -> dict[str, float]:
    """The state's `extra`: the KL coefficient where it adapts."""
    return {} if self.kl_control is None else {'kl_coef': self.kl_coef}
