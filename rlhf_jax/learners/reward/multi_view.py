"""Learning a reward model beside what two responses to a prompt share.

A representation objective on two views of each prompt, two responses out of a
policy's samples, is added to the loss on comparisons. It reads the trunk
through an encoder and a critic of its own, so that unlabelled responses shape
what the reward is read from. Params are {'reward', 'bottleneck'}; what is used
afterwards is the first alone.

Source: Lang, Huang & Li 2024 (RLP), eq. 1 and §3.1.
"""

import dataclasses
from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import bottleneck, views
from rlhf_jax.learners.reward import comparisons, view_metrics
from rlhf_jax.losses import multi_view
from rlhf_jax.losses import objective as objectives
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import override
from rlhf_jax.types import (
  Mean,
  Metrics,
  Models,
  Params,
  Samples,
  Terms,
  TrainState,
  WithExtra,
)
from rlhf_jax.types.calls import offering
from rlhf_jax.types.rules import Count, Finite, NonNegative
from rlhf_jax.types.values import checked

# progress in [0, 1] -> a coefficient.
Schedule = Callable[[chex.Numeric], chex.Numeric]

# What `arrays_for` gives.
ARRAYS = (
  'means',
  'log_variances',
  'view_scores',
  'input_scores',
  'positives',
  'negatives',
  'mask',
  'skl_coef',
)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(comparisons.Config):
  """The comparison, the objective beside it, and the sizes of its networks.

  Attributes:
    representation: from those of `ARRAYS` that its parameters name
      to a loss [] of the whole batch, of losses.multi_view.
    representation_coef: λ, its weight beside the comparisons' loss.
    skl_coef: β_IB, the weight of the symmetrised KL.
    schedule: progress in [0, 1] -> what `skl_coef` is multiplied with, of
      kernels.bottleneck; None leaves it constant.
    negatives: (prompt_ids [B], mask [B]) -> [B, B] bool pairs of two prompts.
    log_variance: raw deviations [...] -> log σ² [...].
    latent: d.
    hidden: width of the encoders' inner layers; the trunk's, but 1024 at most,
      where None.
    critic_hidden: width of the critic's.
    deviation_bias: what raw deviations are at the start; None leaves them to
      chance, with variance 1.
    most_gradient: the most that the representation may send into the trunk, as
      a multiple of the comparisons' gradient there; None for no limit.
  """

  representation: offering(ARRAYS) = multi_view.information_bottleneck
  representation_coef: NonNegative = 0.5
  skl_coef: NonNegative = 1.0
  schedule: Schedule | None = None
  negatives: Callable[[chex.Array, chex.Array], chex.Array] = (
    bottleneck.negative_pairs
  )
  log_variance: Callable[[chex.Array], chex.Array] = (
    bottleneck.tanh_log_variance
  )
  latent: Count = 64
  hidden: Count | None = None
  critic_hidden: Count = 1024
  deviation_bias: Finite | None = -2.0
  most_gradient: NonNegative | None = None

  def __post_init__(self):
    super().__post_init__()
    objectives.refuse_parts(self.representation, self.micro_batches)


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward', 'bottleneck'}: a reward model from `start`, fresh networks.

  The reward model goes on from start['reward'] where it is given, else it has
  a fresh head on the trunk of start['policy'].
  """
  reward_key, bottleneck_key = jax.random.split(key)
  params = comparisons.init(reward_key, start, models=models, config=config)
  width, latent = params['reward']['head']['kernel'].shape[0], config.latent
  of_inputs = 'input_scores' in objectives.reads(config.representation)
  return params | {
    'bottleneck': models.bottleneck.init(
      bottleneck_key,
      width=width,
      latent=latent,
      hidden=config.hidden or min(1024, width),
      critic_hidden=config.critic_hidden,
      critic_inputs=(latent, width if of_inputs else latent),
      deviation_bias=config.deviation_bias,
    )
  }


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: WithExtra,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T] and Samples [U, K, T].

  Differentiate in `params`. The comparisons' terms are those of the learner
  that has nothing beside, to the bit.
  """
  del frozen  # Nothing stays fixed.
  view_key, latent_key = jax.random.split(key)
  scores = comparisons.scored(params, batch.batch, models=models)
  terms, metrics = comparisons.compared(scores, batch.batch, config=config)
  features, prompt_ids, mask = two_views(
    params, batch.extra_data, view_key, models=models
  )

  def represent(networks, features):
    arrays = arrays_for(
      networks,
      features,
      prompt_ids,
      mask,
      latent_key,
      models=models,
      config=config,
    )
    loss = objectives.losses_of(
      config.representation, arrays, shape=(), each='a batch'
    )
    return loss, arrays

  networks = params['bottleneck']
  constant = jax.lax.stop_gradient((networks, features))
  cotangent, _ = jax.grad(represent, argnums=1, has_aux=True)(*constant)
  sent = config.representation_coef * optax.tree.norm(cotangent)
  own = _comparisons_gradient(params, scores, batch.batch, config)
  if config.most_gradient is not None:
    share = config.most_gradient * own / jnp.maximum(sent, 1e-12)
    features = scale_gradient(features, jnp.minimum(share, 1.0))
  value, arrays = represent(networks, features)
  terms['representation'] = (config.representation_coef, Mean.of(value))
  metrics |= view_metrics.of(arrays)
  metrics |= {
    'comparisons_gradient': Mean.of(own),
    'representation_gradient': Mean.of(sent),
  }
  return terms, metrics


def two_views(
  params: Params, samples: Samples, key: chex.PRNGKey, *, models: Models
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Features [U, 2, D] float32, prompt ids [U] and which prompts count [U].

  A prompt all of whose responses are the same text does not count.
  """
  keys = jax.random.split(key, samples.tokens.shape[0])
  allowed = jax.vmap(views.different)(
    samples.tokens, samples.attention_mask, samples.candidate_mask
  )
  places, mask = jax.vmap(views.draw)(keys, allowed)
  rows = jnp.arange(len(places))[:, None]
  tokens, attention_mask = (
    x[rows, places].reshape(-1, x.shape[-1])
    for x in (samples.tokens, samples.attention_mask)
  )
  features = models.reward.features(params['reward'], tokens, attention_mask)
  asked = samples.attention_mask[:, 0] & ~samples.response_mask[:, 0]
  ids = views.prompt_ids(samples.tokens[:, 0], asked)
  features = features.astype(jnp.float32).reshape(*places.shape, -1)
  return features, ids, mask


def arrays_for(
  networks: Params,
  features: chex.Array,
  prompt_ids: chex.Array,
  mask: chex.Array,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> dict[str, chex.Array]:
  """The arrays that a representation objective may name; U prompts.

  means, log_variances: [U, 2, d] of the views' posteriors.
  view_scores: [U, U] critic of the first view of i with the second of j.
  input_scores: [2, U, U] critic of a view's latent with the features that the
    encoder reads, which are constants there; of either view.
  positives, negatives: [U, U] bool.
  mask: [U] bool, prompts that count.
  skl_coef: [].

  Scores are computed where the objective names them alone.
  """
  model, wanted = models.bottleneck, objectives.reads(config.representation)
  means, raw = model.encode(networks, features)
  log_variances = config.log_variance(raw)
  latents = bottleneck.sample(key, means, log_variances)
  arrays = {
    'means': means,
    'log_variances': log_variances,
    'positives': bottleneck.positive_pairs(mask),
    'negatives': config.negatives(prompt_ids, mask),
    'mask': mask,
    'skl_coef': jnp.asarray(config.skl_coef, jnp.float32),
  }
  if 'view_scores' in wanted:
    arrays['view_scores'] = model.symmetric_scores(
      networks, latents[:, 0], latents[:, 1]
    )
  if 'input_scores' in wanted:
    inputs = jax.lax.stop_gradient(features)
    arrays['input_scores'] = jnp.stack(
      [model.scores(networks, latents[:, v], inputs[:, v]) for v in (0, 1)]
    )
  return arrays


def scale_gradient(x: chex.Array, scale: chex.Numeric) -> chex.Array:
  """x as it is, with its gradient times `scale`, a constant."""
  constant = jax.lax.stop_gradient(x)
  return constant + jax.lax.stop_gradient(scale) * (x - constant)


def _comparisons_gradient(params, scores, batch, config):
  """[] norm of the comparisons' gradient in the features that are scored."""

  def total(scores):
    terms, _ = comparisons.compared(scores, batch, config=config)
    return training.objective(terms)

  cotangent = jax.grad(total)(jax.lax.stop_gradient(scores))
  kernel = jax.lax.stop_gradient(params['reward']['head']['kernel'][:, 0])
  return optax.tree.norm(cotangent) * optax.tree.norm(kernel)


_descend = training.gradient_step(loss)


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: WithExtra,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """One gradient step; β_IB by the schedule, over config.steps of them."""
  if config.schedule is not None:
    now = config.skl_coef * config.schedule(state.step / config.steps)
    config = override(config, {'skl_coef': now})
  return _descend(
    state, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
