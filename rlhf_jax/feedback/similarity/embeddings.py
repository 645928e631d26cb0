"""Responses that are near each other as vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback.similarity.texts import distinct
from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Finite

# (N prompts, a response to each) -> [N, D].
Embed = Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]


def embedding(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  embed: Embed | None = None,
  threshold: Finite = 0.9,
) -> list[np.ndarray]:
  """Responses a and b with cos(e(a), e(b)) ≥ the threshold.

  All different responses are embedded in one call. A response whose embedding
  is zero is similar only to equal strings.

  Args:
    prompts: B of them.
    texts: a list of responses to each.
    queries: of a dataset stage.
    embed: (prompts, responses) -> [N, D]. A response's row may not depend on
      the others. None is `queries.embed`: the frozen reward model's hidden
      states, averaged over the response.
    threshold: smallest cosine that counts as similar, in (−1, 1].

  Returns:
    B matrices, [N, N] bool.

  Raises:
    ValueError: not a vector for each response.
  """
  found = [distinct(listed) for listed in texts]
  asked = [
    (prompt, text)
    for prompt, (different, _) in zip(prompts, found, strict=True)
    for text in different
  ]
  vectors = np.asarray(
    (embed or queries.embed)([p for p, _ in asked], [t for _, t in asked]),
    float,
  )
  if vectors.ndim != 2 or len(vectors) != len(asked):
    raise ValueError(
      f'{len(asked)} responses have embeddings of shape {vectors.shape}, where '
      f'({len(asked)}, D) is needed'
    )
  sizes = np.linalg.norm(vectors, axis=1, keepdims=True)
  vectors = np.divide(vectors, sizes, np.zeros_like(vectors), where=sizes > 0)
  ends = np.cumsum([len(different) for different, _ in found])[:-1]
  similar = []
  for rows, (_, places) in zip(np.split(vectors, ends), found, strict=True):
    near = (rows @ rows.T >= threshold) | np.eye(len(rows), dtype=bool)
    similar.append(near[np.ix_(places, places)])
  return similar
