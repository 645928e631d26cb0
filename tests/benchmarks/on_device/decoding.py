"""Decoding by batch size, as a share of what the memory can deliver."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_jax.generation import Sampling
from rlhf_jax.generation.decode import policy_sampler
from rlhf_jax.models import TransformerConfig, language_model
from rlhf_jax.types import Prompts
from tests.benchmarks.on_device import machine
from tests.benchmarks.on_device.training import draw


def bytes_of_step(
  config: TransformerConfig, loaded: Any, rows: int, seen: int
) -> int:
  """What a step has to read: all weights, and keys and values of each row.

  Args:
    config: sizes.
    loaded: parameters as decoding reads them.
    rows: responses.
    seen: tokens before the step's, in the middle of a response.
  """
  leaves = dict(loaded)
  if not config.tied_embeddings:
    leaves.pop('embedding')  # Of which a step reads a row for each response.
  weights = sum(leaf.nbytes for leaf in jax.tree.leaves(leaves))
  width = jnp.dtype(config.compute_dtype).itemsize * config.head_width
  cached = 2 * config.layers * config.kv_heads * width * seen
  return weights + rows * cached


def measure(
  config: TransformerConfig,
  batches: tuple[int, ...],
  prompt: int,
  response: int,
  repeats: int,
) -> dict[str, Any]:
  """Seconds of loading, and by batch size those of a token and its bytes/s."""
  model = language_model(config)
  load = jax.jit(model.load)
  params = model.init(jax.random.key(0))
  spent = machine.seconds(functools.partial(load, params), 3)
  loaded = load(params)
  del params  # The rest needs the memory.
  found: dict[str, Any] = {'load': spent}
  for rows in batches:
    tokens = draw(rows, prompt, vocabulary=config.vocab_size)
    prompts = Prompts(tokens, jnp.ones(tokens.shape, bool), jnp.arange(rows))

    def seconds(length, prompts=prompts):
      sampler = policy_sampler(
        model, max_response=length, stop_ids=(), pad_id=0
      )
      return machine.seconds(
        lambda: sampler.sample(
          loaded,
          prompts,
          jax.random.key(1),
          samples=1,
          sampling=Sampling(temperature=1.0),
        ),
        repeats,
      )

    whole, first = seconds(response), seconds(1)
    step = max(whole - first, 1e-9) / (response - 1)
    read = bytes_of_step(config, loaded, rows, prompt + response // 2)
    found[f'batch {rows}'] = {
      'seconds_a_token': step,
      'tokens_per_second': rows / step,
      'bytes_per_second': read / step,
      'first_token': first,
    }
  return found | {'peak_bytes': machine.peak_bytes()}
