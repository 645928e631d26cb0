"""The bottleneck of Federici et al., CLIP's loss: kernels, losses, models."""

import jax.numpy as jnp

from rlhf_jax.kernels import bottleneck
from rlhf_jax.losses import multi_view
from rlhf_jax.models import BOTTLENECK
from tests.golden_adapters.cases import Omitted

LAYERS = ('first', 'second', 'last')
NOISE = Omitted('ours draws its noise from a key')
ONE_WAY = Omitted('ours gives the mean of the two directions alone')
COSINES = Omitted('ours are inside the loss')


def layers(inputs, name):
  """Three dense layers; the reference's kernels are [out, in]."""
  return {
    layer: {
      'kernel': inputs[f'{name}_w{i}'].T,
      'bias': inputs[f'{name}_b{i}'],
    }
    for i, layer in enumerate(LAYERS)
  }


def terms(params, posteriors, noise, beta):
  """The reference's loss: one rolled negative, a divergence by one sample."""
  (mean_1, log_variance_1), (mean_2, log_variance_2) = posteriors
  z1, z2 = (
    mean + jnp.exp(0.5 * log_variance) * eps
    for (mean, log_variance), eps in zip(posteriors, noise, strict=True)
  )
  rows = jnp.arange(z1.shape[0])
  everyone = jnp.ones(rows.shape, bool)
  positives = bottleneck.positive_pairs(everyone)
  negatives = bottleneck.rolled_pairs(rows, everyone)
  if rows.size == 1:  # Its own negative there; ours has none.
    negatives = positives

  scores = BOTTLENECK.scores(params, z1, z2)
  loss = multi_view.multi_view_information(scores, positives, negatives)
  divergences = bottleneck.sampled_symmetrised_kl(
    z1, z2, mean_1, log_variance_1, mean_2, log_variance_2
  )
  return {
    'loss': loss + beta * jnp.mean(divergences),
    'mi_jsd': -loss,
    'mi_exp_bound': bottleneck.nwj_read_out(scores, positives, negatives),
    'skl': jnp.mean(divergences),
    'z1': NOISE,
    'z2': NOISE,
  }


def total(inputs, *, beta):
  posteriors = [
    (inputs[f'mu{i}'], 2.0 * jnp.log(inputs[f'sigma{i}'])) for i in (1, 2)
  ]
  noise = inputs['eps1'], inputs['eps2']
  params = {'critic': layers(inputs, 'critic')}
  found = terms(params, posteriors, noise, beta)
  return found | {'kl_1_2': ONE_WAY, 'kl_2_1': ONE_WAY}


def encoder(inputs, *, beta, z_dim):
  """One network of 2d outputs there: two here, alike but for the last layer."""
  both = layers(inputs, 'enc')
  last = both['last']
  mean, deviation = (
    both
    | {'last': {'kernel': last['kernel'][:, part], 'bias': last['bias'][part]}}
    for part in (slice(z_dim), slice(z_dim, None))
  )
  params = {
    'mean': mean,
    'deviation': deviation,
    'critic': layers(inputs, 'critic'),
  }
  posteriors = []
  for view in ('v1', 'v2'):
    means, raw = BOTTLENECK.encode(params, inputs[view])
    posteriors.append((means, bottleneck.softplus_log_variance(raw)))
  return terms(params, posteriors, (inputs['eps1'], inputs['eps2']), beta)


def schedule(inputs, *, start_value, end_value, n_iterations, start_iteration):
  steps = inputs['iterations'].astype(jnp.float32)
  every = 10.0 * (start_iteration + n_iterations)
  options = {
    'start': start_value,
    'end': end_value,
    'hold': start_iteration / every,
    'full': (start_iteration + n_iterations) / every,
  }
  return {
    name: getattr(bottleneck, name)(steps / every, **options)
    for name in ('exponential', 'linear')
  }


def infonce(inputs, *, temperature):
  a, b = inputs['a'], inputs['b']
  rows = jnp.arange(a.shape[0])
  everyone = jnp.ones(rows.shape, bool)
  positives = bottleneck.positive_pairs(everyone)
  negatives = bottleneck.negative_pairs(rows, everyone)
  similarity = (
    (a / jnp.linalg.norm(a, axis=1, keepdims=True))
    @ (b / jnp.linalg.norm(b, axis=1, keepdims=True)).T
    / temperature
  )
  bound = bottleneck.info_nce(similarity, positives, negatives)
  return {
    'one_way': jnp.log(rows.size) - bound,
    'mi_lower_bound': bound,
    'similarity': COSINES,
    'loss': multi_view.contrastive(
      jnp.stack([a, b], axis=1), positives, negatives, temperature=temperature
    ),
  }


ADAPTERS = {
  'mib.total': total,
  'mib.encoder': encoder,
  'mib.beta_schedule': schedule,
  'mib.infonce': infonce,
}
