"""Learning the head of a reward model whose trunk stays as it is.

The trunk reads each response once, and what it says of it is kept; a step is
then one of a linear model of D numbers. Params are those of any reward model,
{'reward': {'trunk', 'head'}}, of which 'head' moves.

A hidden state's channels differ in size by orders of magnitude, so that the
head is learnt of standardised ones and rewritten after every step for those of
the trunk, which is exact: with mean m and deviation d of each channel,
k · (x − m) / d + b = (k / d) · x + (b − m · k / d).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlhf_jax.learners.reward import comparisons
from rlhf_jax.training import state as training
from rlhf_jax.types import (
  Comparisons,
  Mean,
  Metrics,
  Models,
  Params,
  Terms,
  TrainState,
)
from rlhf_jax.types.rules import Count, NonNegative
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(comparisons.Config):
  """The comparison, the trunk, and how large the head may be.

  Attributes:
    trunk_layers: the trunk is so many of the layers that it starts from, from
      the first on; all of them where None. What is judged is often plainest in
      the middle of a model.
    ridge: weight of the squared norm of the standardised kernel.
  """

  trunk_layers: Count | None = None
  ridge: NonNegative = 0.0


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward'}: a head of 0 on a trunk, or that of start['reward'] on its own.

  The trunk is that of start['policy'], or a fresh one, as far as it goes.
  """
  params = comparisons.init(key, start, models=models, config=config)
  trunk, head = (params['reward'][part] for part in ('trunk', 'head'))
  if 'reward' not in start:
    head = jax.tree.map(jnp.zeros_like, head)
  return {'reward': {'trunk': models.reward.trunk(trunk), 'head': head}}


def features(
  params: Params, batch: Comparisons, *, models: Models, config: Config
) -> chex.Array:
  """[B, K, D] float32 features of Comparisons [B, K, T]."""
  del config  # The trunk that `models` knows is cut as it says.
  B, K, T = batch.tokens.shape
  found = models.reward.features(
    params['reward'],
    batch.tokens.reshape(B * K, T),
    batch.attention_mask.reshape(B * K, T),
  )
  return found.astype(jnp.float32).reshape(B, K, -1)


def spread(examples: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
  """{'mean' [D], 'deviation' [D]} of N examples' features, [K, D] each.

  The mean is that of all responses. The deviation is that of the responses to
  one prompt from their mean, since what a prompt alone brings about orders
  nothing; a channel that never varies has 1.
  """
  responses = np.concatenate(examples).astype(np.float64)
  within = np.concatenate([x - x.mean(axis=0) for x in examples], dtype=float)
  freedom = max(len(responses) - len(examples), 1)
  deviation = np.sqrt(np.sum(within**2, axis=0) / freedom)
  return {
    'mean': responses.mean(axis=0).astype(np.float32),
    'deviation': np.where(deviation > 0, deviation, 1.0).astype(np.float32),
  }


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in the head.

  Args:
    params: {'reward'}.
    frozen: 'features', their `spread`.
    batch: with `features` [B, 2, D] where they are kept.
    key: of nothing.
    models: whose reward is read.
    config: of the objective.
  """
  del key  # Nothing is random.
  found = batch.features
  if found is None:
    found = features(params, batch, models=models, config=config)
  scores = models.reward.head(params['reward'], found)[..., 0]
  terms, metrics = comparisons.compared(scores, batch, config=config)
  standard = standardise(params['reward']['head'], frozen['features'])
  squared = jnp.sum(standard['kernel'] ** 2)
  return terms | {'ridge': (config.ridge, Mean.of(squared))}, metrics


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """One gradient step of the standardised head, by an optimizer `of_part`."""
  reward, seen = state.params['reward'], frozen['features']

  def of_standardised(params, *given, **named):
    own = reward | {'head': destandardise(params['head'], seen)}
    return loss({'reward': own}, *given, **named)

  own = state.replace(params={'head': standardise(reward['head'], seen)})
  own, metrics = training.gradient_step(of_standardised)(
    own, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
  head = destandardise(own.params['head'], seen)
  return own.replace(params={'reward': reward | {'head': head}}), metrics


def standardise(head: Params, seen: Mapping[str, chex.Array]) -> Params:
  """The head of standardised features that scores as this one of the trunk's.

  Args:
    head: {'kernel' [D, M], 'bias' [M]}; without a bias the scores differ by
      what is the same for all.
    seen: the features' `spread`.
  """
  moved = {'kernel': head['kernel'] * seen['deviation'][:, None]}
  if 'bias' in head:
    moved['bias'] = head['bias'] + seen['mean'] @ head['kernel']
  return moved


def destandardise(head: Params, seen: Mapping[str, chex.Array]) -> Params:
  """The inverse of `standardise`."""
  moved = {'kernel': head['kernel'] / seen['deviation'][:, None]}
  if 'bias' in head:
    moved['bias'] = head['bias'] - seen['mean'] @ moved['kernel']
  return moved


@functools.lru_cache
def of_part(
  optimizer: optax.GradientTransformation, part: str
) -> optax.GradientTransformation:
  """The optimizer, of one part of params {'reward': {'trunk', part}}."""

  def init(params):
    return optimizer.init({part: params['reward'][part]})

  return optax.GradientTransformation(init, optimizer.update)
