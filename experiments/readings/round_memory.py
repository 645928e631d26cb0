"""Memory of a round of a method, read from the compiled programs."""

import functools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax.experiment.models import roles
from rlhf_jax.methods import remax
from rlhf_jax.models import TransformerConfig
from rlhf_jax.training import state as training
from rlhf_jax.types import Rollouts


def rollouts_like(rows, samples, prompt, response):
  """Shapes of Rollouts [rows, samples, prompt + response]."""

  def array(*shape, dtype):
    return jax.ShapeDtypeStruct((rows, samples, *shape), dtype)

  length = prompt + response
  return Rollouts(
    tokens=array(length, dtype=jnp.int32),
    attention_mask=array(length, dtype=bool),
    response_mask=array(length, dtype=bool),
    logps=array(response, dtype=jnp.float32),
    truncated_logps=array(response, dtype=jnp.float32),
    ended=array(dtype=bool),
    index=jax.ShapeDtypeStruct((rows,), jnp.int32),
  )


def size(tree) -> int:
  """Bytes of all arrays of a tree."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def compiled_bytes(function, *arguments, donate=()) -> int:
  """Bytes that a program holds beside its arguments, results included."""
  lowered = jax.jit(function, donate_argnums=donate).lower(*arguments)
  memory = lowered.compile().memory_analysis()
  results = memory.output_size_in_bytes - memory.alias_size_in_bytes
  return memory.temp_size_in_bytes + results


def measure(
  method: ModuleType,
  config: Any,
  model: TransformerConfig,
  *,
  prompt: int,
  response: int,
) -> dict[str, int]:
  """Bytes that a round of a method holds, part by part.

  Its batch is of responses of so many tokens to prompts of so many.
  """
  models, key = roles(model), jax.eval_shape(lambda: jax.random.key(0))
  policy = jax.eval_shape(models.policy.init, key)
  scalar = jax.eval_shape(models.reward.init, key)
  params = jax.eval_shape(
    functools.partial(method.init, models=models, config=config),
    key,
    {'policy': policy, 'critic': scalar},
  )
  optimizer = config.make_optimizer()
  state = jax.eval_shape(lambda p: training.create(p, optimizer), params)
  frozen = {'reference': policy, 'reward': scalar}
  rollouts = rollouts_like(config.batch_size, config.samples, prompt, response)
  scores = jax.ShapeDtypeStruct(rollouts.ended.shape, jnp.float32)
  given = [scores]
  if method is remax:
    given.append(jax.ShapeDtypeStruct(scores.shape[:1], jnp.float32))
  reference = {'reference': policy}
  shape = functools.partial(method.shape, models=models, config=config)
  arguments = (params, reference, rollouts, *given)
  batch, _ = jax.eval_shape(shape, *arguments)
  update = functools.partial(
    method.update, models=models, optimizer=optimizer, config=config
  )
  parts = {
    'parameters trained': size(params),
    'optimizer': size(state.opt_state),
    'reference and reward model': size(frozen),
    'shape': compiled_bytes(shape, *arguments),
    # No reward model and no reference take part.
    'update': compiled_bytes(update, state, {}, batch, key, donate=(0,)),
  }
  resident = sum(list(parts.values())[:3])
  parts['peak'] = resident + max(parts['shape'], parts['update'])
  return parts
