"""Responses to fewer prompts than devices: each device takes its share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_jax import sharding
from rlhf_jax.learners import policy_gradient
from rlhf_jax.methods import grpo
from rlhf_jax.models import TransformerConfig, language_model
from rlhf_jax.types import Models, Rollouts

MODEL = language_model(
  TransformerConfig(
    vocab_size=64,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=64,
  )
)
PROMPT, RESPONSE = 5, 6
CONFIG = grpo.Config(steps=1, batch_size=2, samples=4, minibatches=1)


def rollouts(prompts, samples):
  shape = prompts, samples, PROMPT + RESPONSE
  response = np.broadcast_to(np.arange(shape[-1]) >= PROMPT, shape)
  zeros = jnp.zeros((*shape[:2], RESPONSE))
  return Rollouts(
    tokens=jnp.ones(shape, jnp.int32),
    attention_mask=jnp.ones(shape, bool),
    response_mask=jnp.asarray(response),
    logps=zeros,
    truncated_logps=zeros,
    ended=jnp.ones(shape[:2], bool),
    index=jnp.arange(prompts),
  )


def total(params, batch):
  flat = policy_gradient.flatten_rollouts(batch)
  found = policy_gradient.evaluate(
    {'policy': params}, flat, models=Models(policy=MODEL), config=CONFIG
  )
  return jnp.sum(found.logps)


@pytest.mark.parametrize('function', [total, jax.grad(total)])
def test_a_device_computes_its_responses_alone(function):
  params = MODEL.init(jax.random.key(0))
  mesh = sharding.make_mesh({'data': 4, 'fsdp': 2})

  def flops(batch):
    with jax.set_mesh(mesh):
      placed = sharding.place_batch(batch, mesh)
      program = jax.jit(function).lower(params, placed).compile()
    return program.cost_analysis()['flops']

  # Two prompts of four are as much as eight of one, which lie split.
  assert flops(rollouts(2, 4)) == pytest.approx(flops(rollouts(8, 1)), rel=0.02)
