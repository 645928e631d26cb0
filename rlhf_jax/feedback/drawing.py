"""Pseudo-random numbers from hashes: the same in every run, in any order."""

import hashlib
import json

from rlhf_jax.types import Prompt


def uniform(seed: int, prompt: Prompt, *texts: str) -> float:
  """A uniform number in [0, 1), from a hash of the seed, prompt and texts.

  It depends on nothing else: not on the place among others, nor on the run.
  """
  said = json.dumps([seed, *prompt.messages, *texts])
  first = hashlib.sha256(said.encode()).digest()[:8]
  return (int.from_bytes(first) >> 11) / 2**53
