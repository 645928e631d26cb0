"""Sampling responses: one prefill per prompt, then all responses step together.

The randomness of a sample depends only on the key, on its prompt's index and on
its number among the prompt's samples: not on the batch, on the number of
samples, or on the limit of their length.
"""

import functools
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from rlhf_jax.generation import cuts
from rlhf_jax.generation.sampling import Sampling, transform
from rlhf_jax.kernels import distributions
from rlhf_jax.types import (
  LanguageModel,
  Params,
  Prompts,
  Rollouts,
  Sampler,
  flatten_candidates,
)


@flax.struct.dataclass
class DecodingProgress:
  """Responses being written: [B, K, R].

  Attributes:
    step: [] int32, how many columns are written.
    tokens: [B, K, R] int32, padding where nothing is written.
    mask: [B, K, R] bool, True on what is written, stop ids included.
    logps: [B, K, R] float32 at the temperature, over the whole vocabulary.
    truncated_logps: [B, K, R] float32 of the distribution that was drawn from.
    ended: [B, K] bool, True where a stop id was drawn.
    seen: [B, K, V] bool, the tokens so far; None unless a transform reads it.
  """

  step: chex.Array
  tokens: chex.Array
  mask: chex.Array
  logps: chex.Array
  truncated_logps: chex.Array
  ended: chex.Array
  seen: chex.Array | None


compiled = functools.partial(
  jax.jit,
  static_argnames=('model', 'samples', 'max_response', 'stop_ids', 'pad_id'),
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

  Returns:
    Rollouts [B, K, P + R]. Log-probs are 0 where masked.
  """
  chex.assert_rank([prompts.tokens, prompts.attention_mask], 2)
  chex.assert_equal_shape([prompts.tokens, prompts.attention_mask])
  keys = candidate_keys(key, prompts.index, samples)
  write = functools.partial(
    write_token, keys, sampling=sampling, stop_ids=stop_ids, pad_id=pad_id
  )

  logits, cache = model.prefill(
    loaded, prompts.tokens, prompts.attention_mask, samples, max_response
  )
  logits = jnp.repeat(logits[:, None], samples, axis=1)
  progress = write(
    begin(prompts, logits, sampling, max_response, pad_id), logits
  )

  def unfinished(carry):
    progress, _ = carry
    return (progress.step < max_response) & anywhere(~progress.ended)

  def advance(carry):
    progress, cache = carry
    last = jax.lax.dynamic_index_in_dim(
      progress.tokens, progress.step - 1, axis=-1, keepdims=False
    )
    logits, cache = model.decode_step(loaded, cache, last)
    return write(progress, logits), cache

  progress, _ = jax.lax.while_loop(unfinished, advance, (progress, cache))
  return rollouts(prompts, progress)


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


def candidate_keys(
  key: chex.PRNGKey, index: chex.Array, samples: int
) -> chex.Array:
  """[B, K] keys, folded from each prompt's index, then the sample's number."""
  fold = jax.random.fold_in
  of_prompts = jax.vmap(fold, in_axes=(None, 0))(key, index)
  each = jax.vmap(fold, in_axes=(None, 0))
  return jax.vmap(each, in_axes=(0, None))(of_prompts, jnp.arange(samples))


def begin(
  prompts: Prompts,
  logits: chex.Array,
  sampling: Sampling,
  max_response: int,
  pad_id: int,
) -> DecodingProgress:
  """Empty responses; `logits` [B, K, V] lends its shape."""
  shape = (*logits.shape[:2], max_response)
  seen = None
  if sampling.repetition_penalty is not None:
    seen = jnp.repeat(
      occurring(prompts, logits.shape[-1])[:, None], shape[1], axis=1
    )
  return DecodingProgress(
    step=jnp.zeros((), jnp.int32),
    tokens=jnp.full(shape, pad_id, jnp.int32),
    mask=jnp.zeros(shape, bool),
    logps=jnp.zeros(shape, jnp.float32),
    truncated_logps=jnp.zeros(shape, jnp.float32),
    ended=jnp.zeros(shape[:2], bool),
    seen=seen,
  )


def occurring(prompts: Prompts, vocabulary: int) -> chex.Array:
  """[B, V] bool, True on the tokens of each prompt."""
  rows = jnp.arange(prompts.tokens.shape[0])[:, None]
  empty = jnp.zeros((prompts.tokens.shape[0], vocabulary), bool)
  return empty.at[rows, prompts.tokens].max(prompts.attention_mask)


def write_token(
  keys: chex.Array,
  progress: DecodingProgress,
  logits: chex.Array,
  *,
  sampling: Sampling,
  stop_ids: tuple[int, ...],
  pad_id: int,
) -> DecodingProgress:
  """Draws the next token of every response, and writes it if not ended.

  Args:
    keys: [B, K] of `candidate_keys`.
    progress: what is written so far.
    logits: [B, K, V] of the next token.
    sampling, stop_ids, pad_id: as of `sample_loaded`.

  Returns:
    The progress, one column further.
  """
  step, active = progress.step, ~progress.ended
  kept = transform(
    logits, sampling, seen=progress.seen, step=step, stop_ids=stop_ids
  )
  keys = jax.vmap(jax.vmap(lambda key: jax.random.fold_in(key, step)))(keys)
  tokens, truncated_logps = jax.tree.map(
    lambda x: x.reshape(active.shape),
    sampling.draw(*flatten_candidates((keys, kept))),
  )
  full_logps = truncated_logps
  if not sampling.draws_from_softmax:
    temperature = 1.0 if sampling.temperature is None else sampling.temperature
    full_logps = distributions.token_logps(
      logits, tokens, temperature=temperature
    )
  seen = progress.seen
  if seen is not None:
    seen = seen | jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool)

  def column(written, new, padding):
    new = jnp.where(active, new, padding)
    return jax.lax.dynamic_update_index_in_dim(written, new, step, axis=-1)

  return DecodingProgress(
    step=step + 1,
    tokens=column(progress.tokens, tokens, pad_id),
    mask=column(progress.mask, active, False),
    logps=column(progress.logps, full_logps, 0.0),
    truncated_logps=column(progress.truncated_logps, truncated_logps, 0.0),
    ended=progress.ended | cuts.among(tokens, stop_ids),
    seen=seen,
  )


def rollouts(prompts: Prompts, progress: DecodingProgress) -> Rollouts:
  """Prompts and responses as Rollouts, the response after its prompt."""
  samples = progress.tokens.shape[1]

  def beside(prompt, response):
    prompt = jnp.repeat(prompt[:, None], samples, axis=1)
    return jnp.concatenate([prompt, response], axis=-1)

  return Rollouts(
    tokens=beside(prompts.tokens, progress.tokens),
    attention_mask=beside(prompts.attention_mask, progress.mask),
    response_mask=beside(jnp.zeros_like(prompts.attention_mask), progress.mask),
    logps=progress.logps,
    truncated_logps=progress.truncated_logps,
    ended=progress.ended,
    index=prompts.index,
  )


@jax.custom_batching.custom_vmap
def anywhere(flags: chex.Array) -> chex.Array:
  """[] bool, True if any flag is; under vmap, if any flag of any row is.

  Under vmap a while_loop whose rows end at different steps selects its whole
  state at every step. So all rows go on together until all have ended; ended
  responses write nothing more.
  """
  return jnp.any(flags)


@anywhere.def_vmap
def anywhere_in_all(size: int, mapped: list[Any], flags: chex.Array):
  """`anywhere` over all seeds at once, the same answer for each."""
  del size, mapped
  return anywhere(flags), False
