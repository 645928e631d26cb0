"""Sampling responses: one prefill per prompt, then all responses step together.

The randomness of a sample depends only on the key, on its prompt's index and on
its number among the prompt's samples: not on the batch, on the number of
samples, on the limit of their length, or on how many are written at a time, but
that the log-probs it is drawn by may be rounded otherwise.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import sharding
from rlhf_jax.generation import refilling
from rlhf_jax.generation.response_writer import (
  ResponseBuffer,
  ResponseWriter,
  anywhere,
  candidate_keys,
)
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import LanguageModel, Params, Prompts, Rollouts, Sampler

compiled = functools.partial(
  jax.jit,
  static_argnames=(
    'model',
    'samples',
    'max_response',
    'stop_ids',
    'pad_id',
    'at_a_time',
  ),
)


@compiled
def sample(model: LanguageModel, params: Params, *given, **options) -> Rollouts:
  """`sample_loaded` with training parameters, which this call loads."""
  return sample_loaded(model, model.load(params), *given, **options)


@compiled
def sample_loaded(
  model: LanguageModel,
  loaded: Params,
  prompts: Prompts,
  key: chex.PRNGKey,
  *,
  samples: int,
  max_response: int,
  sampling: Sampling,
  stop_ids: tuple[int, ...],
  pad_id: int,
  at_a_time: int | None = None,
) -> Rollouts:
  """Draws `samples` responses to each prompt.

  Args:
    model: what to sample from.
    loaded: its parameters, as `model.load` gives them.
    prompts: [B, P], padded on the left.
    key: consumed; sample k of prompt b draws token t with
      fold_in(fold_in(fold_in(key, index[b]), k), t).
    samples: K, responses per prompt.
    max_response: R, most tokens a response may have.
    sampling: next-token rules; their values are traced.
    stop_ids: tokens that end a response; they stay in it.
    pad_id: written after the end, under a mask of False.
    at_a_time: how many prompts are answered side by side; others begin where
      some have ended. None or B and more: all.

  Returns:
    Rollouts [B, K, P + R]. Log-probs are 0 where masked.
  """
  chex.assert_rank([prompts.tokens, prompts.attention_mask], 2)
  chex.assert_equal_shape([prompts.tokens, prompts.attention_mask])
  B = prompts.tokens.shape[0]
  slots = B if at_a_time is None else min(at_a_time, B)
  # Where devices are more than prompts, each prompt is read by several of
  # them, which share its responses.
  copies = sharding.copies(slots, samples)
  keys = candidate_keys(key, prompts.index, samples)
  asked = _copied(prompts, keys, copies)
  writer = ResponseWriter(
    model=model,
    loaded=loaded,
    samples=samples // copies,
    max_response=max_response,
    sampling=sampling,
    stop_ids=stop_ids,
    pad_id=pad_id,
  )
  if slots < B:
    written = refilling.responses(writer, *asked, slots * copies)
  else:
    decoding, _ = jax.lax.while_loop(
      lambda state: anywhere(state[0].unfinished),
      writer.advance,
      writer.begin(*asked),
    )
    written = decoding.written
  return rollouts(prompts, _together(written, copies))


def _copied(prompts, keys, copies):
  """So many copies of each prompt, each with a share of its samples' keys."""
  shape = prompts.tokens.shape[0] * copies, -1, *keys.shape[2:]
  repeated = jax.tree.map(lambda x: jnp.repeat(x, copies, axis=0), prompts)
  return repeated, keys.reshape(shape)


def _together(written, copies):
  """Responses [B · copies, K / copies, …] as each prompt's own, [B, K, …]."""
  if copies == 1:
    return written

  def gather(x):
    x = x.reshape(x.shape[0] // copies, -1, *x.shape[2:])
    return sharding.constrain(x, sharding.BATCH)

  return jax.tree.map(gather, written)


@functools.lru_cache
def policy_sampler(
  model: LanguageModel,
  *,
  max_response: int,
  stop_ids: tuple[int, ...],
  pad_id: int,
) -> Sampler:
  """A sampler that decodes with `model`; options as of `sample_loaded`."""
  sample = functools.partial(
    sample_loaded,
    model,
    max_response=max_response,
    stop_ids=stop_ids,
    pad_id=pad_id,
  )
  return Sampler(jax.jit(model.load), sample)


def rollouts(prompts: Prompts, written: ResponseBuffer) -> Rollouts:
  """Prompts and responses as Rollouts, the response after its prompt."""
  samples = written.tokens.shape[1]

  def concatenated(prompt, response):
    prompt = jnp.repeat(prompt[:, None], samples, axis=1)
    return jnp.concatenate([prompt, response], axis=-1)

  return Rollouts(
    tokens=concatenated(prompts.tokens, written.tokens),
    attention_mask=concatenated(prompts.attention_mask, written.mask),
    response_mask=concatenated(
      jnp.zeros_like(prompts.attention_mask), written.mask
    ),
    logps=written.logps,
    truncated_logps=written.truncated_logps,
    ended=written.ended,
    index=prompts.index,
  )
