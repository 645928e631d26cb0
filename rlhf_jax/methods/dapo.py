"""DAPO: GRPO for long answers that a program checks.

Four changes to GRPO: the ratio may rise further than fall (clip-higher), groups
whose responses all score the same are replaced by others (dynamic sampling),
every token counts the same, and responses are scored less as they near the
longest length allowed. The loss has no KL; the reference only measures it.

Source: Yu et al. 2025, section 3.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import baselines, masking, rewards
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.stages import Online
from rlhf_jax.training import optimizers
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
from rlhf_jax.types.rules import Count, Divides
from rlhf_jax.types.values import checked

init = policy_gradient.init
loss = policy_gradient.loss
update = policy_gradient.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(policy_gradient.OnlineConfig):
  """Values of the paper and of its released script.

  Attributes:
    batch_size: prompts that a round may ask, at most: a multiple of `groups`.
    groups: prompts that a round learns from.
  """

  batch_size: Count = 1536
  groups: Annotated[Count, Divides('batch_size')] = 512
  samples: Count = 16
  objective: policy_gradient.Objective = functools.partial(
    surrogates.clipped_surrogate, clip_epsilon=0.2, clip_epsilon_high=0.28
  )
  reduction: policy_gradient.Reduction = masking.token_mean
  length_penalty: Callable[[chex.Array], chex.Array] | None = functools.partial(
    rewards.overlong_penalty, max_length=20480.0, buffer=4096.0, factor=1.0
  )
  minibatches: Count = 16
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-6, weight_decay=0.1
  )

  def __post_init__(self):
    super().__post_init__()
    policy_gradient.refuse(self, fewest_samples=2)
    if self.kl_coef or self.kl_control is not None:
      raise ValueError(
        f'kl_coef is {self.kl_coef}, and DAPO takes no KL off the reward; take '
        'grpo for a KL, or set a reference_objective'
      )

  @property
  def responses(self) -> int:
    """How many a round learns from: those of `groups` prompts."""
    return self.groups * self.samples

  @property
  def shared_field(self) -> str:
    """The field that counts prompts sampled together, as devices share them."""
    return 'groups'


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
  advantages = baselines.group_standardised(
    measured.groups(measured.scores), measured.has_score
  )
  # A group that only fills the batch may still differ in length.
  differ = baselines.informative(scores, measured.has_score)
  advantages = jnp.where(differ[:, None], advantages, 0.0)
  return policy_gradient.experience(
    measured,
    advantages=measured.at_tokens(advantages),
    response_rewards=measured.scores,
    config=config,
  )


def collect(
  state: TrainState,
  frozen: Mapping[str, Params],
  prompts: Prompts,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Experience, Metrics]:
  """Asks prompts, `groups` at a time, until as many scored responses apart.

  If the prompts run out, groups that teach nothing fill the batch, with
  advantages of 0.

  Args:
    state: params {'policy'}.
    frozen: {'reference', and 'reward' where a model scores}.
    prompts: Prompts [B, P].
    key: of the step.
    models: with a sampler and a scorer.
    config: a Config.

  Returns:
    Experience [groups, K] and metrics, how many prompts were asked among them.
  """
  stopwatch, asked, found = Stopwatch(), [], 0
  policy = models.sampler.load(state.params['policy'])
  for first in range(0, prompts.tokens.shape[0], config.groups):
    rows = slice(first, first + config.groups)
    rollouts, scores = policy_gradient.sample_and_score(
      policy,
      frozen,
      jax.tree.map(lambda x, rows=rows: x[rows], prompts),
      key,
      models=models,
      config=config,
      stopwatch=stopwatch,
    )
    written = jnp.any(rollouts.response_mask, axis=-1)
    differ = baselines.informative(scores, written)
    asked.append((rollouts, scores, differ))
    found += int(jnp.sum(differ))
    if found >= config.groups:
      break
  del policy  # What follows needs its memory.
  rollouts, scores, differ = jax.tree.map(lambda *x: jnp.concatenate(x), *asked)
  # The informative first, in the order in which they were asked.
  kept = jnp.argsort(~differ, stable=True)[: config.groups]
  rollouts, scores = jax.tree.map(lambda x: x[kept], (rollouts, scores))
  with stopwatch('score'):
    batch, metrics = policy_gradient.shape_scored(
      shape, state, frozen, rollouts, scores, models=models, config=config
    )
  metrics['prompts_asked'] = Mean.of(float(differ.size))
  metrics['informative'] = Mean.of(differ)
  return batch, metrics | stopwatch.metrics()


# Where it starts from is also the reference.
stages = Online(name='dapo', init=init, update=update, collect=collect)
