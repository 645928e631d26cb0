"""Several passes over one batch, in shuffled minibatches."""

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.training.state import Loss, descend, gradient
from rlhf_jax.types import Mean, Metrics, Params, TrainState


def passes(
  state: TrainState,
  frozen: Params,
  batch: chex.ArrayTree,
  key: chex.PRNGKey,
  *,
  loss: Loss,
  optimizer: optax.GradientTransformation,
  epochs: int = 1,
  minibatches: int = 1,
  micro_batches: int = 1,
  **named,
) -> tuple[TrainState, Metrics]:
  """`epochs` passes of `minibatches` optimizer steps over a batch of responses.

  Args:
    state: where to start.
    frozen: what stays fixed, by role.
    batch: arrays [N, ...], N responses; each pass shuffles them anew.
    key: of the shuffles, and of every step's loss, which is handed its own.
    loss: a learner's, `loss(params, frozen, batch, key, **named)`.
    optimizer: takes epochs × minibatches steps.
    epochs: passes over the batch.
    minibatches: optimizer steps in a pass, a divisor of N.
    micro_batches: parts that a minibatch is cut into, to save memory.
    **named: for the loss: its models and config.

  Returns:
    The state, whose `step` counts batches and so rises by one, and the steps'
    metrics, added up.

  Raises:
    ValueError: the responses do not divide into the minibatches.
  """
  count = jax.tree.leaves(batch)[0].shape[0]
  if count % minibatches:
    raise ValueError(
      f'{count} responses do not divide into {minibatches} minibatches'
    )
  differentiate = gradient(loss, micro_batches=micro_batches)

  # One for the shuffle of each pass, then one for the loss of each step.
  keys = jax.random.split(key, epochs + epochs * minibatches)

  def pass_over(epoch_key):
    order = jax.random.permutation(epoch_key, count)
    return order.reshape(minibatches, count // minibatches)

  def step(inner, taken):
    step_key, rows = taken
    part = jax.tree.map(lambda x: x[rows], batch)
    grads, metrics = differentiate(
      inner.params, frozen, part, step_key, **named
    )
    metrics['gradient_norm'] = Mean.of(optax.tree.norm(grads))
    return descend(inner, grads, optimizer), metrics

  orders = jax.vmap(pass_over)(keys[:epochs])
  rows = orders.reshape(-1, orders.shape[-1])
  moved, metrics = jax.lax.scan(step, state, (keys[epochs:], rows))
  metrics = jax.tree.map(jnp.sum, metrics)
  return moved.replace(step=state.step + 1), metrics
