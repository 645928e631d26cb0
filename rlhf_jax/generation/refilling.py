"""Writing to more prompts than fit at a time: who has ended makes room.

So many prompts have a slot each, of static shapes. As soon as an eighth of the
slots hold finished responses, these are put by and as many new prompts begin
there, while the other responses go on: nothing waits for the longest of all.
On a mesh no fewer than one slot of each device begin together.
"""

import math

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import sharding
from rlhf_jax.generation.response_writer import (
  DecodingState,
  ResponseBuffer,
  ResponseWriter,
  anywhere,
)
from rlhf_jax.types import Prompts

REPLACED = 8  # One in so many slots at a time; each time reads prompts.


def responses(
  writer: ResponseWriter, prompts: Prompts, keys: chex.PRNGKey, slots: int
) -> ResponseBuffer:
  """The responses [B, K, R] to prompts, of which so many are answered at once.

  Args:
    writer: writes them.
    prompts: [B, P].
    keys: [B, K], of the responses.
    slots: S < B.
  """
  B, S = prompts.tokens.shape[0], slots
  devices = sharding.sharing(S)
  F = devices * max(1, S // devices // REPLACED)
  count = math.ceil((B - S) / F)
  # The last group begins nothing, though it is read, and waits for all that
  # still goes on: one loop, compiled once.
  places = S + jnp.arange((count + 1) * F).reshape(-1, F)
  awaited = jnp.full(count + 1, F).at[-1].set(S)
  first, later = (
    jax.tree.map(lambda x, at=at: x[at], (prompts, keys))
    for at in (jnp.arange(S), jnp.minimum(places, B - 1))
  )

  def turn(carry, group):
    state, owners, every = carry
    places, some, awaited = group
    decoding, cache = jax.lax.while_loop(
      lambda state: anywhere(jnp.sum(finished(state[0])) < awaited),
      writer.advance,
      state,
    )
    done = jnp.nonzero(finished(decoding), size=F)[0]
    new, new_cache = writer.begin(*some, decoding.step - 1)
    of_slots, of_new = (x.replace(step=()) for x in (decoding, new))
    ended = jax.tree.map(lambda rows: rows[done], of_slots)
    every = put(every, owners[done], from_first(ended))
    taken = jnp.where(places < B, done, S)
    of_slots = put(of_slots, taken, of_new)
    cache = writer.model.replace_prompts(cache, new_cache, taken)
    state = of_slots.replace(step=decoding.step), cache
    return (state, put(owners, taken, places), every), None

  every = ResponseBuffer.empty(
    (B, writer.samples, writer.max_response), writer.pad_id
  )
  carry = writer.begin(*first), jnp.arange(S), every
  ((decoding, _), owners, every), _ = jax.lax.scan(
    turn, carry, (places, later, awaited)
  )
  return put(every, owners, from_first(decoding))


def put(
  every: chex.ArrayTree, places: chex.Array, rows: chex.ArrayTree
) -> chex.ArrayTree:
  """Arrays [N, ...] with rows [F, ...] at places [F]; none at N and above."""

  def of_one(x, new):
    x = x.at[places].set(new, mode='drop')
    return sharding.constrain(x, sharding.BATCH)  # Or each device has all.

  return jax.tree.map(of_one, every, rows)


def finished(decoding: DecodingState) -> chex.Array:
  """[S] bool, True where all responses to a prompt have ended."""
  return ~jnp.any(decoding.unfinished, axis=1)


def from_first(decoding: DecodingState) -> ResponseBuffer:
  """What is written, each response from its first token on."""
  R = decoding.written.tokens.shape[-1]
  columns = (decoding.began[:, None] + jnp.arange(R)[None]) % R

  def turned(x):
    if x.ndim < 3:
      return x
    return jnp.take_along_axis(x, columns[:, None], axis=-1)

  return jax.tree.map(turned, decoding.written)
