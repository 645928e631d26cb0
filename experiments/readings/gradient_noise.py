"""How much a method's gradient scatters from round to round."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np
import optax

from rlhf_jax.data.batches import Batches
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.learners import policy_gradient
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import flatten_candidates


def gradients(
  chain: Run,
  method: ModuleType,
  config: Any,
  params: Mapping[str, Any],
  frozen: Mapping[str, Any],
  *,
  rounds: int,
  show: Callable[[int, Mapping[str, float]], None],
) -> Iterator[np.ndarray]:
  """Yields the policy's gradient [P] of every round, flat.

  Args:
    chain: whose training prompts are answered.
    method: of `rlhf_jax.methods`, and its config.
    config: likewise.
    params: what the method trains, by role.
    frozen: what it keeps as it is, by role.
    rounds: how many.
    show: is told how many are done.
  """
  models = chain.models()
  examples, _ = chain.data.encode(chain.data.records('prompts'))
  batches = Batches(
    examples,
    batch_size=config.batch_size,
    seed=0,
    pad_id=chain.corpus.tokenizer.pad_id,
    limits=chain.experiment.limits,
  )
  key = chain.key('variance')
  gradient = jitted(training.gradient(policy_gradient.loss))
  state = training.create(params, optax.identity())
  for step in range(rounds):
    batch, _ = method.collect(
      state,
      frozen,
      batches[step],
      jax.random.fold_in(key, step),
      models=models,
      config=config,
    )
    rest = flatten_candidates(batch.replace(rollouts=None))
    flat = rest.replace(
      rollouts=policy_gradient.flatten_rollouts(batch.rollouts)
    )
    grads, _ = gradient(params, {}, flat, key, models=models, config=config)
    show(step + 1, {})
    leaves = jax.tree.leaves(grads['policy'])
    yield np.concatenate([np.ravel(leaf) for leaf in leaves])


def scatter(rows: Iterable[np.ndarray]) -> tuple[float, float]:
  """Total variance of one round, and the squared length of the mean.

  Both unbiased: the mean's own variance is taken off its length.
  """
  count, total, squares = 0, 0.0, 0.0
  for row in rows:
    row = row.astype(np.float64)
    count, total, squares = count + 1, total + row, squares + row @ row
  mean = total / count
  variance = (squares - count * (mean @ mean)) / (count - 1)
  return float(variance), float(mean @ mean - variance / count)
