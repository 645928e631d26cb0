"""Learning a reward model whose reward passes a variational bottleneck.

A hidden state h has a posterior N(μ(h), s²(h)) of d latents, and the reward is
read from one drawn of it: g(z) with z = μ + s ε while it learns, g(μ) at last.
Latents cost what they tell of h, by their KL to N(0, I), so that the reward is
read from little more than what tells chosen from rejected.

μ and g are linear, so that g(μ(h)) is linear in h as well: after every step the
reward model's head is just that, and it is a reward model as any other. Params
are {'reward', 'bottleneck'}, the second for `latents` alone once it has learnt.

Source: Miao et al. 2024 (InfoRM), and its released code for linear μ and g.
"""

import dataclasses
from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import bottleneck
from rlhf_jax.learners.reward import comparisons, head
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
  """The comparison, and the bottleneck that its scores pass.

  Attributes:
    latent: d.
    divergence: (means [..., d], log-variances [..., d]) -> [...] nats, of
      kernels.bottleneck: `standard_normal_kl`, or the released code's
      `averaged_standard_normal_kl`.
    divergence_coef: β, the weight of a pair's two divergences.
    log_variance: raw deviations [...] -> log s² [...].
  """

  latent: Count = 128
  divergence: Callable[[chex.Array, chex.Array], chex.Array] = (
    bottleneck.standard_normal_kl
  )
  divergence_coef: NonNegative = 0.1
  log_variance: Callable[[chex.Array], chex.Array] = (
    bottleneck.tanh_log_variance
  )

  def __post_init__(self):
    super().__post_init__()
    if self.micro_batches > 1:
      raise ValueError(
        f'micro_batches is {self.micro_batches}; the parts of a batch would '
        'have the same noise in their latents, so leave it 1'
      )


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward', 'bottleneck'}: on the trunk of `start`, the rest fresh.

  Posteriors start with s = 1, and rewards with a deviation of about 0.1.
  """
  reward_key, mean_key, score_key = jax.random.split(key, 3)
  params = comparisons.init(reward_key, start, models=models, config=config)
  width, latent = params['reward']['head']['kernel'].shape[0], config.latent
  networks = {
    'mean': _linear(mean_key, width, latent, width**-0.5),
    'deviation': {
      'kernel': jnp.zeros((width, latent)),
      'bias': jnp.zeros(latent),
    },
    'head': _linear(score_key, latent, 1, 0.1 * latent**-0.5),
  }
  return _composed(params | {'bottleneck': networks})


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`."""
  del frozen  # Nothing stays fixed.
  features = head.features(params, batch, models=models, config=config)
  return compared(params['bottleneck'], features, batch, key, config=config)


def compared(
  networks: Params,
  features: chex.Array,
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of features [B, 2, D] that pass the bottleneck."""
  means = _apply(networks['mean'], features)
  log_variances = config.log_variance(_apply(networks['deviation'], features))
  sampled = bottleneck.sample(key, means, log_variances)
  scores = _apply(networks['head'], sampled)[..., 0]
  terms, metrics = comparisons.compared(scores, batch, config=config)
  divergences = config.divergence(means, log_variances)  # [B, 2]
  weight = batch.pair_weight
  cost = Mean.of(jnp.sum(divergences, axis=-1), weight)
  terms['divergence'] = (config.divergence_coef, cost)
  deviations = jnp.mean(jnp.exp(0.5 * log_variances), axis=(-2, -1))
  return terms, metrics | {'sigma': Mean.of(deviations, weight)}


def latents(
  params: Params, batch: Comparisons, *, models: Models, config: Config
) -> chex.Array:
  """[B, K, d] float32 means of the posteriors of Comparisons [B, K, T]."""
  features = head.features(params, batch, models=models, config=config)
  return _apply(params['bottleneck']['mean'], features)


_descend = training.gradient_step(loss)


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
  """One gradient step, after which the reward model's head is g(μ(·))."""
  state, metrics = _descend(
    state, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
  return state.replace(params=_composed(state.params)), metrics


def composed(networks: Params) -> Params:
  """{'kernel' [D, 1], 'bias' [1]}: g(μ(·)), read from features."""
  mean, score = networks['mean'], networks['head']
  return {
    'kernel': mean['kernel'] @ score['kernel'],
    'bias': mean['bias'] @ score['kernel'] + score['bias'],
  }


def _composed(params):
  """The params, with the reward that is read from the posteriors' means."""
  read = composed(params['bottleneck'])
  return params | {'reward': params['reward'] | {'head': read}}


def _linear(key, width, out, scale):
  kernel = scale * jax.random.normal(key, (width, out))
  return {'kernel': kernel, 'bias': jnp.zeros(out)}


def _apply(layer, x):
  product = x @ layer['kernel']
  return product + jnp.broadcast_to(layer['bias'], product.shape)
