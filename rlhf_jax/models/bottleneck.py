"""The heads of a multi-view bottleneck: two encoders and a critic of pairs.

Each is three dense layers with ReLU between them, in float32. They serve a loss
on the trunk, and are dropped after training.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.models.layers import normal
from rlhf_jax.types import Bottleneck, Params


def init(
  key: chex.PRNGKey,
  *,
  width: int,
  latent: int,
  hidden: int,
  critic_hidden: int,
  critic_inputs: tuple[int, int],
  deviation_bias: float | None,
) -> Params:
  """Random parameters; means have variance 1 where features do.

  Args:
    key: consumed.
    width: D, of the features.
    latent: d.
    hidden: of the two encoders' inner layers.
    critic_hidden: of the critic's.
    critic_inputs: (a, b), the widths of the critic's two inputs.
    deviation_bias: the initial value of every raw deviation; None draws the
      last layer like the others, so that they vary with the features.

  Returns:
    {'mean', 'deviation', 'critic'}, each {'first', 'second', 'last'} of dense
    layers {'kernel' [in, out], 'bias' [out]}. The critic's last layer is 0, so
    that all its scores start as 0.
  """
  mean_key, deviation_key, critic_key = jax.random.split(key, 3)
  mean = _layers(mean_key, (width, hidden, hidden, latent))
  deviation = _layers(deviation_key, (width, hidden, hidden, latent))
  critic = _layers(
    critic_key, (sum(critic_inputs), critic_hidden, critic_hidden, 1)
  )
  if deviation_bias is not None:
    deviation['last'] = {
      'kernel': jnp.zeros((hidden, latent)),
      'bias': jnp.full(latent, deviation_bias, jnp.float32),
    }
  critic['last']['kernel'] = jnp.zeros((critic_hidden, 1))
  return {'mean': mean, 'deviation': deviation, 'critic': critic}


def encode(
  params: Params, features: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Posteriors of d latents, from features [..., D] of any float type.

  Features must be finite, also in rows that are masked later, or the gradient
  of all parameters is NaN.

  Returns:
    [..., d] means and [..., d] raw deviations, float32, which a function such
    as kernels.bottleneck.softplus_log_variance turns into log-variances.

  Source: Lang et al. 2024 (RLP): two networks of three layers. The one network
  of Federici et al. 2020 has both outputs.
  """
  chex.assert_type(features, float)
  features = features.astype(jnp.float32)

  def read(layers):
    inner = jax.nn.relu(_dense(layers['first'], features))
    inner = jax.nn.relu(_dense(layers['second'], inner))
    return _dense(layers['last'], inner)

  return read(params['mean']), read(params['deviation'])


def scores(params: Params, left: chex.Array, right: chex.Array) -> chex.Array:
  """The critic T(aᵢ, bⱼ) of every pair, a network on the concatenation [a; b].

  Its first layer, W [a; b] = Wₐ a + W_b b, is computed once for each a and each
  b, not for each pair.

  Args:
    left: [N, a].
    right: [M, b], where a + b is what the first layer reads.

  Returns:
    [N, M] float32.

  Source: Federici et al. 2020, the released code's estimator.
  """
  chex.assert_rank([left, right], 2)
  chex.assert_type([left, right], float)
  first, size = params['critic']['first'], left.shape[1]
  chex.assert_shape(first['kernel'], (size + right.shape[1], None))

  from_left = left.astype(jnp.float32) @ first['kernel'][:size]
  of_right = {'kernel': first['kernel'][size:], 'bias': first['bias']}
  from_right = _dense(of_right, right.astype(jnp.float32))
  inner = jax.nn.relu(from_left[:, None] + from_right[None])
  inner = jax.nn.relu(_dense(params['critic']['second'], inner))
  return _dense(params['critic']['last'], inner)[..., 0]


def symmetric_scores(
  params: Params, left: chex.Array, right: chex.Array
) -> chex.Array:
  """½ [T(aᵢ, bⱼ) + T(bⱼ, aᵢ)] [N, M] of views [N, a] and [M, a] of one kind."""
  chex.assert_equal_shape_suffix([left, right], 1)
  return 0.5 * (scores(params, left, right) + scores(params, right, left).T)


BOTTLENECK = Bottleneck(
  init=init, encode=encode, scores=scores, symmetric_scores=symmetric_scores
)


def _layers(key, sizes):
  """Three dense layers that keep the variance of their input.

  A ReLU halves the mean square, so the layers after one have a gain of 2.
  """
  layers = {}
  for name, layer_key, fan_in, fan_out, gain in zip(
    ('first', 'second', 'last'),
    jax.random.split(key, 3),
    sizes[:-1],
    sizes[1:],
    (1.0, 2.0, 2.0),
    strict=True,
  ):
    kernel = normal((gain / fan_in) ** 0.5)(layer_key, (fan_in, fan_out))
    layers[name] = {'kernel': kernel, 'bias': jnp.zeros(fan_out)}
  return layers


def _dense(layer, x):
  product = jnp.einsum('...i,io->...o', x, layer['kernel'])
  return product + jnp.broadcast_to(layer['bias'], product.shape)
