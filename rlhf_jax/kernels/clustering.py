"""Clusters of responses to one prompt that mean the same; `vmap` over prompts.

Similarity need not be transitive, and the three linkages differ there: `greedy`
compares with a group's first member, `union_find` with any member,
`complete_linkage` with all of them. Where similarity is an equivalence they
agree, and the order of the responses does not matter.

A similarity is [N, N] bool, symmetric and True on the diagonal. Labels are [N]
int32, the number of each response's group, from 0 in the order of the groups'
first members.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


@jax.jit
def greedy(similarity: chex.Array) -> chex.Array:
  """Each response joins the first group whose first member is similar to it.

  In the order of the responses; one that no group takes opens a group. Two
  members of a group need not be similar to each other, and the groups depend on
  the order.

  Source: Kuhn et al. 2023, algorithm 1.
  """

  def takes(similar, members):
    return similar[jnp.argmax(members, axis=1)]

  return _join(similarity, takes)


@jax.jit
def union_find(similarity: chex.Array) -> chex.Array:
  """Connected components: a chain of similar responses is one group."""
  _check(similarity)
  reached = similarity
  for _ in range((len(similarity) - 2).bit_length()):  # Doubles the chains.
    reached = jnp.any(reached[:, :, None] & reached[None, :, :], axis=1)
  first = jnp.argmax(reached, axis=1)
  opens = first == jnp.arange(len(similarity))
  return (jnp.cumsum(opens, dtype=jnp.int32) - 1)[first]


@jax.jit
def complete_linkage(similarity: chex.Array) -> chex.Array:
  """Merges groups as long as two are left all of whose members are similar.

  Ties between merges go to the groups that begin first, which amounts to each
  response, in order, joining the first group all of whose members are similar.
  """

  def takes(similar, members):
    return jnp.all(similar[None, :] | ~members, axis=1)

  return _join(similarity, takes)


@jax.jit
def group_sizes(labels: chex.Array) -> chex.Array:
  """[N] int32, how many responses are in the group of each."""
  chex.assert_rank(labels, 1)
  chex.assert_type(labels, int)
  return jnp.sum(labels[:, None] == labels[None, :], axis=1, dtype=jnp.int32)


@jax.jit
def confidence(labels: chex.Array) -> chex.Array:
  """The share of the largest group, max_g |g| / N.

  A rounded float32: to meet a threshold exactly, compare `group_sizes`.

  Returns:
    [] float32 in [1/N, 1].

  Source: Lang et al. 2024 (RLP).
  """
  return jnp.max(group_sizes(labels)) / jnp.float32(len(labels))


@jax.jit
def semantic_entropy(labels: chex.Array) -> chex.Array:
  """−Σ_g p_g log p_g with p_g = |g| / N: how scattered the meanings are.

  Returns:
    [] float32 in nats, from 0, one group, to log N, all different.

  Source: Farquhar et al. 2024, the discrete form of semantic entropy.
  """
  # A group has |g| members, so that the mean over members is Σ_g p_g.
  shares = group_sizes(labels) / jnp.float32(len(labels))
  return -jnp.mean(jnp.log(shares))


def _join(
  similarity: chex.Array, takes: Callable[[chex.Array, chex.Array], chex.Array]
) -> chex.Array:
  """Puts each response, in order, into the first group that takes it.

  Args:
    similarity: [N, N] bool.
    takes: (similar [N], members [G, N]) -> [G] bool; anything for groups
      without members.
  """
  _check(similarity)

  def place(response, members):
    empty = ~jnp.any(members, axis=1)  # The groups after those that are open.
    group = jnp.argmax(takes(similarity[response], members) | empty)
    return members.at[group, response].set(True)

  nobody = jnp.zeros_like(similarity)  # [G, N]: there are at most N groups.
  members = jax.lax.fori_loop(0, len(similarity), place, nobody)
  return jnp.argmax(members, axis=0).astype(jnp.int32)


def _check(similarity):
  chex.assert_rank(similarity, 2)
  chex.assert_type(similarity, bool)
  chex.assert_shape(similarity, (len(similarity), len(similarity)))
