"""Groups of chosen responses to the toy's prompts, shaped by a method."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.types import Rollouts
from tests import toy

PROMPT = (0, 1)
POLICY = toy.POLICY.init(jax.random.key(3))
REFERENCE = toy.POLICY.init(jax.random.key(4))


def rollouts(responses: Sequence[Sequence[tuple[int, ...]]]) -> Rollouts:
  """[B, K, T] of B lists of K responses, each to `PROMPT`."""
  listed = toy.responses()
  rows = np.array([[listed.index(r) for r in group] for group in responses])
  whole = toy.all_rollouts(PROMPT).replace(index=None)
  found = jax.tree.map(lambda x: np.asarray(x)[0][rows], whole)
  return found.replace(index=np.arange(len(rows), dtype=np.int32))


def shaped(method, config, responses, scores, *extra):
  """(Experience, metrics) of a method's `shape`, the reference another."""
  return method.shape(
    {'policy': POLICY},
    {'reference': REFERENCE},
    rollouts(responses),
    jnp.asarray(scores, jnp.float32),
    *extra,
    models=toy.MODELS,
    config=config,
  )


def log_ratios(response) -> np.ndarray:
  """log π − log π_ref of each token of a response, in float64."""
  tables = [np.asarray(p['embedding'], np.float64) for p in (POLICY, REFERENCE)]
  found, before = [], PROMPT[-1]
  for token in response:
    policy, reference = (
      toy.log_probability(table, before, (token,)) for table in tables
    )
    found.append(policy - reference)
    before = token
  return np.array(found)


def at_tokens(numbers, responses) -> np.ndarray:
  """[B, K, R] of [B, K]: each number at its response's tokens, 0 after."""
  wide = np.zeros((*np.shape(numbers), toy.LONGEST))
  for b, group in enumerate(responses):
    for k, response in enumerate(group):
      wide[b, k, : len(response)] = numbers[b][k]
  return wide
