"""RAFT: reward-ranked fine-tuning.

Each stage: K responses to each of b prompts, the best of them by reward, and a
few passes of supervised fine-tuning on these. No critic, and no gradient goes
through the sampling; the reward is read for its order alone.

Source: Dong et al. 2023 (RAFT).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import chex
import flax.struct
import jax.numpy as jnp
import optax

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import logps, selection
from rlhf_jax.learners import likelihood, policy_gradient
from rlhf_jax.stages import Online
from rlhf_jax.training import optimizers
from rlhf_jax.training import state as training
from rlhf_jax.training.parts import in_parts
from rlhf_jax.types import (
  Demonstrations,
  Mean,
  Metrics,
  Models,
  Params,
  Rollouts,
  TrainState,
)
from rlhf_jax.types.rules import Count, Divides, NonNegative, Positive
from rlhf_jax.types.values import checked

loss = likelihood.loss


@flax.struct.dataclass
class BestSamples:
  """All that was sampled, and what is imitated of it.

  Attributes:
    rollouts: Rollouts [B, K, T].
    demonstrations: Demonstrations [B, T], of weight 0 where nothing was kept.
  """

  rollouts: Rollouts
  demonstrations: Demonstrations


def local(
  scores: chex.Array, candidate_mask: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """The best response to each prompt.

  Only the order within a prompt counts. Equal scores keep the earlier one,
  which is a fair choice, since draws of one prompt are exchangeable.

  Args:
    scores: [B, K] in reward units; anything where masked.
    candidate_mask: [B, K] bool, True on responses that may be kept.

  Returns:
    [B] int32 places among the B · K responses, and the mask [B] of those kept:
    False for a prompt that has none.
  """
  best, kept = selection.top(scores, candidate_mask, count=1)
  B, K = scores.shape
  return K * jnp.arange(B) + best[:, 0], kept[:, 0]


def overall(
  scores: chex.Array, candidate_mask: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """The best 1/K of the whole batch, whichever prompts they answer.

  Rewards are compared across prompts, so easy ones are learnt from most. The
  paper's global ranking draws a single response to each prompt of a K times
  larger batch; here K to each compete. As `local` in all else.
  """
  flat = scores.reshape(-1), candidate_mask.reshape(-1)
  return selection.top(*flat, count=scores.shape[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """The paper's values on HH with a LLaMA of 7B, at its largest K.

  Attributes:
    steps: stages; the paper stops where the reward was flat for three, after 10
      to 18 of them.
    batch_size: b, prompts a stage. None comes again before all have come.
    samples: K, responses to each.
    temperature: at which the policy samples; 1 gives less reward and more
      variety.
    sampling: what else is cut from the policy's distribution when sampling, if
      anything.
    select: (scores [B, K], mask [B, K]) -> places [B], mask [B]: `local` or
      `overall`.
    kl_coef: β of the score r − β (log π − log π_ref) that ranks, both of the
      whole response at the sampling temperature; 0 ranks by the reward.
    epochs: passes over what is kept.
    minibatches: optimizer steps in a pass, a divisor of b; the paper does not
      say how many.
    micro_batches: parts that a minibatch, and what a stage samples and scores,
      is cut into, to save memory.
  """

  batch_size: Count = 2048
  samples: Count = 32
  temperature: Positive = 0.85
  sampling: Sampling = Sampling()
  select: Callable[[chex.Array, chex.Array], tuple[chex.Array, chex.Array]] = (
    local
  )
  kl_coef: NonNegative = 0.0
  epochs: Count = 2
  minibatches: Annotated[Count, Divides('batch_size')] = 32
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5, decay=optimizers.linear
  )

  def __post_init__(self):
    if self.sampling.temperature is not None:
      raise ValueError(
        "sampling has a temperature of its own; set the config's temperature"
      )
    if self.batch_size % (self.minibatches * self.micro_batches):
      raise ValueError(
        f'micro_batches is {self.micro_batches}; it must divide the '
        f'{self.batch_size // self.minibatches} responses of a minibatch '
        f'(batch_size {self.batch_size} / minibatches {self.minibatches}) '
        'evenly'
      )

  @property
  def fewest_sampled(self) -> int:
    """Responses to a prompt in the smallest call of the sampler."""
    return self.samples

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizer over all inner steps."""
    inner_steps = self.steps * self.epochs * self.minibatches
    return optimizers.adam(self.optimizer, inner_steps)


def shape(
  params: Params,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  *,
  models: Models,
  config: Config,
) -> tuple[BestSamples, Metrics]:
  """Keeps the best of scored rollouts. Returns (BestSamples, metrics).

  Responses that did not end are never kept, for they would teach to ramble, nor
  are those without a score.

  Args:
    params: {'policy'}.
    frozen: {'reference'}.
    rollouts: Rollouts [B, K, T].
    scores: [B, K] in reward units.
    models: with a policy.
    config: a Config.
  """
  flat = policy_gradient.flatten_rollouts(rollouts)

  def of_rows(rows):
    return [
      logps.next_token_logps(
        models.policy,
        policy,
        rows.tokens,
        rows.attention_mask,
        start=rows.tokens.shape[-1] - rows.response_length,
        temperature=config.temperature,
      )
      for policy in (params['policy'], frozen['reference'])
    ]

  own, reference = in_parts(of_rows, flat, config.micro_batches)
  _, mask = flat.responses
  kl = policy_gradient.response_kl(own, reference, mask).reshape(scores.shape)
  # What could not be scored has nothing in its mask.
  ended = rollouts.ended & jnp.any(rollouts.response_mask, axis=-1)
  places, kept = config.select(scores - config.kl_coef * kl, ended)
  metrics = policy_gradient.rollout_metrics(
    flat, own, reference, scores=scores.reshape(-1)
  )
  demonstrations = Demonstrations(
    tokens=flat.tokens[places],
    attention_mask=flat.attention_mask[places],
    response_mask=flat.response_mask[places],
    weight=kept.astype(jnp.float32),
  )
  metrics['kept_score'] = Mean.of(scores.reshape(-1)[places], kept)
  metrics['kept'] = Mean.of(kept)
  metrics |= gain_of_choosing(scores, ended)
  return BestSamples(rollouts, demonstrations), metrics


def gain_of_choosing(scores: chex.Array, ended: chex.Array) -> dict[str, Mean]:
  """Metrics of how far apart the responses to a prompt score.

  Args:
    scores: [B, K] in reward units.
    ended: [B, K] bool.

  Returns:
    The best score of those that ended, and its gap to their median, small where
    a choice is among near-ties; a prompt without any does not count.
  """
  some = jnp.any(ended, axis=-1)
  valid = jnp.where(ended, scores, jnp.nan)
  best = jnp.nanmax(valid, axis=-1)
  above = best - jnp.nanmedian(valid, axis=-1)
  return {
    'best_score': Mean.of(best, some),
    'best_above_median': Mean.of(above, some),
  }


collect = functools.partial(policy_gradient.collect, shape=shape)


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: BestSamples,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """`epochs` passes of `minibatches` steps over what is kept of BestSamples
  [B].

  Returns (state, metrics); state.step counts stages, not optimizer steps.

  Raises:
    ValueError: the prompts do not divide into the minibatches.
  """
  return training.passes(
    state,
    frozen,
    batch.demonstrations,
    key,
    loss=loss,
    models=models,
    optimizer=optimizer,
    config=config,
  )


# On the best of its own samples.
stages = Online(
  name='raft',
  init=likelihood.init,
  update=update,
  collect=collect,
  checkpoint_every=5,
)
