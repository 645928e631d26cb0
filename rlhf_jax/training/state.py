"""Gradients of a learner's loss, accumulated exactly, and steps down it."""

from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.training.parts import deal
from rlhf_jax.types import Mean, Metrics, Models, Params, Terms, TrainState
from rlhf_jax.types.rules import Count

Loss = Callable[..., tuple[Terms, Metrics]]


def create(
  params: Params,
  optimizer: optax.GradientTransformation,
  extra: Mapping[str, chex.Numeric] | None = None,
) -> TrainState:
  """The state before the first update."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    extra=jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), extra or {}),
  )


def whole(params: Params, frozen: Mapping[str, Params]) -> Params:
  """The parameters that a loss reads, of which `params` are what is trained.

  The rest of them, by role, is frozen['base'], if there is such a rest.
  """
  base = frozen.get('base')
  return params if base is None else _joined(params, base)


def _joined(params, base):
  here = {k: _joined(x, base[k]) for k, x in params.items() if k in base}
  return {**base, **params, **here}


def policy_from(
  key: chex.PRNGKey, start: Mapping[str, Params], *, models: Models, config: Any
) -> Params:
  """A policy learner's `init`: {'policy'}, start's or fresh."""
  del config
  if 'policy' in start:
    return {'policy': start['policy']}
  return {'policy': models.policy.init(key)}


def scalar_from(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Any,
  role: str,
  scores: Count = 1,
) -> Params:
  """A scalar model's `init`: {role}, fresh, on the trunk of start['policy'].

  Or start[role] as it is, where such a model is trained on.
  """
  del config
  if role in start:
    return {role: start[role]}
  params = models.reward.init(key, scores=scores)
  if 'policy' in start:
    params = params | {'trunk': models.reward.trunk(start['policy'])}
  return {role: params}


def descend(
  state: TrainState, grads: Params, optimizer: optax.GradientTransformation
) -> TrainState:
  """Moves state.params one optimizer step. Returns the next state."""
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return state.replace(step=state.step + 1, params=params, opt_state=opt_state)


def objective(terms: Terms) -> jax.Array:
  """The scalar that is minimised: the sum of coefficient × mean.

  A term whose coefficient is the number 0 is not differentiated.
  """
  return sum(
    (c * mean.value for c, mean in terms.values() if not _is_zero(c)),
    start=jnp.zeros(()),
  )


def _is_zero(coefficient) -> bool:
  return isinstance(coefficient, int | float) and coefficient == 0


def gradient(
  loss: Loss, *, micro_batches: int = 1
) -> Callable[..., tuple[Params, Metrics]]:
  """The gradient of a learner's objective in its first argument.

  With k micro-batches the batch's leading axis is cut in k; every term is
  divided once, by its weight over the whole batch, so that the sum of the
  parts is the gradient of the whole, however ragged the rows.

  Args:
    loss: a learner's, `loss(params, frozen, batch, key, **named)`; it is given
      the parameters whole.
    micro_batches: k, a divisor of the batch's leading axis.

  Returns:
    A function of the loss's arguments, whose first is what is trained of the
    parameters. It returns (gradients, metrics), the metrics with the objective
    and each term's mean added to the loss's own.
  """

  def wrapped(params, frozen, batch, key, **named):
    def weigh(part):
      # Weights come from masks, not from parameters, so the compiler drops the
      # forward pass.
      terms, _ = loss(whole(params, frozen), frozen, part, key, **named)
      return {name: mean.weight for name, (_, mean) in terms.items()}

    def share(params, part, weights):
      terms, metrics = loss(whole(params, frozen), frozen, part, key, **named)
      divided = {
        name: (coefficient, Mean(mean.total, weights[name]))
        for name, (coefficient, mean) in terms.items()
      }
      means = {f'loss/{name}': mean for name, (_, mean) in terms.items()}
      return objective(divided), dict(metrics) | means

    differentiate = jax.grad(share, has_aux=True)
    if micro_batches == 1:
      return differentiate(params, batch, weigh(batch))

    parts = deal(batch, micro_batches)
    weights = jax.tree.map(jnp.sum, jax.lax.map(weigh, parts))

    def add(grads, part):
      more, metrics = differentiate(params, part, weights)
      return jax.tree.map(jnp.add, grads, more), metrics

    grads, metrics = jax.lax.scan(
      add, jax.tree.map(jnp.zeros_like, params), parts
    )
    return grads, jax.tree.map(jnp.sum, metrics)

  return wrapped


def gradient_step(loss: Loss) -> Callable[..., tuple[TrainState, Metrics]]:
  """The `update` of a learner that takes one step down its loss.

  Args:
    loss: a learner's; its config has `micro_batches`.
  """

  def update(state, frozen, batch, key, *, models, optimizer, config):
    """One gradient step. Returns (state, metrics)."""
    differentiate = gradient(loss, micro_batches=config.micro_batches)
    grads, metrics = differentiate(
      state.params, frozen, batch, key, models=models, config=config
    )
    norm = Mean.of(optax.tree.norm(grads))
    return descend(state, grads, optimizer), metrics | {'gradient_norm': norm}

  return update


def passes(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: chex.ArrayTree,
  key: chex.PRNGKey,
  *,
  loss: Loss,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Any,
) -> tuple[TrainState, Metrics]:
  """`epochs` passes of `minibatches` optimizer steps over a batch of responses.

  Args:
    state: where to start.
    frozen: what stays fixed, by role.
    batch: arrays [N, ...], N responses; each pass shuffles them anew.
    key: of the shuffles, and of every step's loss, which is handed its own.
    loss: a learner's.
    models: for the loss.
    optimizer: takes epochs × minibatches steps.
    config: for the loss; `epochs`, `minibatches`, a divisor of N, and
      `micro_batches`, into which a minibatch is cut, are read here too.

  Returns:
    The state, whose `step` counts batches and so rises by one, and the steps'
    metrics, added up.

  Raises:
    ValueError: the responses do not divide into the minibatches.
  """
  epochs, minibatches = config.epochs, config.minibatches
  count = jax.tree.leaves(batch)[0].shape[0]
  if count % minibatches:
    raise ValueError(
      f'{count} responses do not divide into {minibatches} minibatches'
    )
  update = gradient_step(loss)

  # One for the shuffle of each pass, then one for the loss of each step.
  keys = jax.random.split(key, epochs + epochs * minibatches)

  def order(pass_key):
    places = jax.random.permutation(pass_key, count)
    return places.reshape(minibatches, count // minibatches)

  def step(inner, taken):
    step_key, rows = taken
    part = jax.tree.map(lambda x: x[rows], batch)
    named = {'models': models, 'optimizer': optimizer, 'config': config}
    return update(inner, frozen, part, step_key, **named)

  orders = jax.vmap(order)(keys[:epochs])
  rows = orders.reshape(-1, orders.shape[-1])
  moved, metrics = jax.lax.scan(step, state, (keys[epochs:], rows))
  return moved.replace(step=state.step + 1), jax.tree.map(jnp.sum, metrics)
