"""Texts of the sandbox's demonstrator as candidates of each prompt.

Candidates lie prompt by prompt, and are named by their places there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from rlhf_jax import sandbox
from rlhf_jax.sandbox import regression
from rlhf_jax.types import Prompt

STREAM = 12  # Of the texts' keys; the world's datasets have those below.


class Candidates(NamedTuple):
  """K texts to each of P prompts.

  Attributes:
    asked: P · K prompts, each K times.
    texts: P · K of them.
    gold: [P, K] reward units, which are log-odds of a preference.
    right: [P, K] bool, whether the right answer is the only one stated.
    answers: [P, K] int, equal where two of a prompt state the same.
    features: [P · K, F] that a regression is of.
  """

  asked: Sequence[Prompt]
  texts: Sequence[str]
  gold: np.ndarray
  right: np.ndarray
  answers: np.ndarray
  features: sparse.csr_array


def compose(
  prompts: Sequence[Prompt], count: int, *, world: int = 0
) -> Candidates:
  """The demonstrator's candidates, their features phrases and answers.

  Args:
    prompts: P of the sandbox.
    count: K.
    world: seed of the texts.
  """
  keys = [
    (world, STREAM, i, k) for i in range(len(prompts)) for k in range(count)
  ]
  asked = [prompts[i] for _, _, i, _ in keys]
  texts = [
    sandbox.compose(sandbox.DEMONSTRATOR, prompt, key)
    for prompt, key in zip(asked, keys, strict=True)
  ]
  # One that states nothing agrees with its like alone.
  stated = [sandbox.stated(text) or f'{text} .' for text in texts]
  shape = (len(prompts), count)
  return Candidates(
    asked,
    texts,
    sandbox.gold(asked, texts).astype(float).reshape(shape),
    np.array(list(map(sandbox.is_right, asked, texts))).reshape(shape),
    np.unique(stated, return_inverse=True)[1].reshape(shape),
    regression.phrases_and_answers(asked, texts),
  )


def without_answers(found: Candidates) -> Candidates:
  """The same, as a reward sees them that knows of phrases alone."""
  features = regression.phrase_counts(found.asked, found.texts)
  return found._replace(features=features)


def samples(
  chances: np.ndarray, visits: int, count: int, rng: np.random.Generator
) -> np.ndarray:
  """[visits · P, count] places of a policy's samples, drawn with replacement.

  Args:
    chances: [P, K] of the policy.
    visits: times that every prompt is gone over.
    count: samples each time.
    rng: generator.
  """
  prompts, each = chances.shape
  ends = np.cumsum(chances, axis=1)
  draws = rng.random((visits, prompts, count, 1)) * ends[:, -1, None, None]
  places = np.sum(draws > ends[:, None], axis=-1)
  return (places + each * np.arange(prompts)[:, None]).reshape(-1, count)
