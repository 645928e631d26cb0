"""Responses written token by token, side by side."""

import dataclasses
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from rlhf_jax.generation import cuts
from rlhf_jax.generation.sampling import Sampling, transform
from rlhf_jax.kernels import distributions
from rlhf_jax.types import LanguageModel, Params, Prompts, flatten_candidates


@flax.struct.dataclass
class ResponseBuffer:
  """What is written of responses [B, K, R].

  Attributes:
    tokens: [B, K, R] int32, padding where nothing is written.
    mask: [B, K, R] bool, True on what is written, stop ids included.
    logps: [B, K, R] float32 at the temperature, over the whole vocabulary.
    truncated_logps: [B, K, R] float32 of the distribution that was drawn from.
    ended: [B, K] bool, True where a stop id was drawn.
  """

  tokens: chex.Array
  mask: chex.Array
  logps: chex.Array
  truncated_logps: chex.Array
  ended: chex.Array

  @classmethod
  def empty(cls, shape: tuple[int, int, int], pad_id: int) -> 'ResponseBuffer':
    """Nothing yet, of responses [B, K, R]."""
    return cls(
      tokens=jnp.full(shape, pad_id, jnp.int32),
      mask=jnp.zeros(shape, bool),
      logps=jnp.zeros(shape, jnp.float32),
      truncated_logps=jnp.zeros(shape, jnp.float32),
      ended=jnp.zeros(shape[:2], bool),
    )


@flax.struct.dataclass
class DecodingState:
  """Responses being written.

  All write their next token in the same of R columns, which are gone through
  again and again, so that a response may begin in any.

  Attributes:
    step: [] int32, how many columns were written since the first began.
    began: [B] int32, `step` when the responses to each prompt began.
    keys: [B, K], of the responses.
    written: [B, K, R].
    seen: [B, K, V] bool, the tokens so far; None unless a transform reads it.
  """

  step: chex.Array
  began: chex.Array
  keys: chex.Array
  written: ResponseBuffer
  seen: chex.Array | None

  @property
  def unfinished(self) -> chex.Array:
    """[B, K] bool, True where a response goes on."""
    room = self.step - self.began < self.written.tokens.shape[-1]
    return ~self.written.ended & room[:, None]


@dataclasses.dataclass(frozen=True)
class ResponseWriter:
  """Writes responses with a model.

  Attributes:
    model: what to sample from.
    loaded: its parameters, as `model.load` gives them.
    samples: K, responses per prompt.
    max_response: R, most tokens a response may have.
    sampling: next-token rules.
    stop_ids: tokens that end a response; they stay in it.
    pad_id: written after the end, under a mask of False.
  """

  model: LanguageModel
  loaded: Params
  samples: int
  max_response: int
  sampling: Sampling
  stop_ids: tuple[int, ...]
  pad_id: int

  def begin(
    self, prompts: Prompts, keys: chex.PRNGKey, step: chex.Numeric = 0
  ) -> tuple[DecodingState, Any]:
    """The state after the first token of each response.

    Args:
      prompts: [B, P].
      keys: [B, K], of the responses.
      step: how many columns others have written by now.

    Returns:
      The state, and the model's cache.
    """
    logits, cache = self.model.prefill(
      self.loaded,
      prompts.tokens,
      prompts.attention_mask,
      self.samples,
      self.max_response,
    )
    logits = jnp.repeat(logits[:, None], self.samples, axis=1)
    B, K, V = logits.shape
    seen = None
    if self.sampling.repetition_penalty is not None:
      seen = jnp.repeat(occurring(prompts, V)[:, None], K, axis=1)
    decoding = DecodingState(
      step=jnp.asarray(step, jnp.int32),
      began=jnp.full(B, step, jnp.int32),
      keys=keys,
      written=ResponseBuffer.empty((B, K, self.max_response), self.pad_id),
      seen=seen,
    )
    return self.extend(decoding, logits), cache

  def advance(
    self, state: tuple[DecodingState, Any]
  ) -> tuple[DecodingState, Any]:
    """The state after one more token of each response."""
    decoding, cache = state
    last = jax.lax.dynamic_index_in_dim(
      decoding.written.tokens,
      (decoding.step - 1) % self.max_response,
      axis=-1,
      keepdims=False,
    )
    logits, cache = self.model.decode_step(self.loaded, cache, last)
    return self.extend(decoding, logits), cache

  def extend(
    self, decoding: DecodingState, logits: chex.Array
  ) -> DecodingState:
    """Draws the next token of every response, and writes it if unfinished.

    Args:
      decoding: what is written so far.
      logits: [B, K, V] of the next token.

    Returns:
      The state, one column further.
    """
    sampling, written = self.sampling, decoding.written
    active, own = decoding.unfinished, decoding.step - decoding.began
    kept = transform(
      logits,
      sampling,
      seen=decoding.seen,
      step=own[:, None, None],
      stop_ids=self.stop_ids,
    )
    of_prompt = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    keys = jax.vmap(of_prompt)(decoding.keys, own)
    tokens, truncated_logps = jax.tree.map(
      lambda x: x.reshape(active.shape),
      sampling.draw(*flatten_candidates((keys, kept))),
    )
    full_logps = truncated_logps
    if not sampling.draws_from_softmax:
      temperature = (
        1.0 if sampling.temperature is None else sampling.temperature
      )
      full_logps = distributions.token_logps(
        logits, tokens, temperature=temperature
      )
    seen = decoding.seen
    if seen is not None:
      seen = seen | jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool)
    place = decoding.step % self.max_response

    def column(every, new):
      old = jax.lax.dynamic_index_in_dim(every, place, -1, keepdims=False)
      new = jnp.where(active, new, old)
      return jax.lax.dynamic_update_index_in_dim(every, new, place, axis=-1)

    stopped = active & cuts.among(tokens, self.stop_ids)
    return decoding.replace(
      step=decoding.step + 1,
      written=ResponseBuffer(
        tokens=column(written.tokens, tokens),
        mask=column(written.mask, True),
        logps=column(written.logps, full_logps),
        truncated_logps=column(written.truncated_logps, truncated_logps),
        ended=written.ended | stopped,
      ),
      seen=seen,
    )


def candidate_keys(
  key: chex.PRNGKey, index: chex.Array, samples: int
) -> chex.Array:
  """[B, K] keys, folded from each prompt's index, then the sample's number."""
  fold = jax.random.fold_in
  of_prompts = jax.vmap(fold, in_axes=(None, 0))(key, index)
  each = jax.vmap(fold, in_axes=(None, 0))
  return jax.vmap(each, in_axes=(0, None))(of_prompts, jnp.arange(samples))


def occurring(prompts: Prompts, vocabulary: int) -> chex.Array:
  """[B, V] bool, True on the tokens of each prompt."""
  rows = jnp.arange(prompts.tokens.shape[0])[:, None]
  empty = jnp.zeros((prompts.tokens.shape[0], vocabulary), bool)
  return empty.at[rows, prompts.tokens].max(prompts.attention_mask)


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
