"""Pairs of a policy's samples that say what a reward model knows of.

Each takes N prompts and a response to each, several samples of a prompt being
several rows, and gives comparisons, the right response first. The same samples
give the same pairs, for every reward model and every seed.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from rlhf_jax.sandbox import grammar, questions
from rlhf_jax.types import Comparison, Prompt, Response


def is_right(prompt: Prompt, response: str) -> bool:
  """Whether the right answer is the only answer word of a response."""
  answer = questions.read(prompt).question.answer
  return set(grammar.parse(response).answers) == {answer}


def minimal_pairs(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> list[Comparison]:
  """Each right sample, against the same text with a wrong answer word.

  The wrong word, one for all places, is any other of the question's pool, drawn
  under a key of the sample's row alone.
  """
  found = []
  for row, (prompt, right) in enumerate(zip(prompts, responses, strict=True)):
    if is_right(prompt, right):
      question = questions.read(prompt).question
      others = [word for word in question.pool if word != question.answer]
      other = others[np.random.default_rng((row, 0)).integers(len(others))]
      words = [other if w == question.answer else w for w in right.split()]
      wrong = Response(' '.join(words), ended=Response.of(right).ended)
      found.append(Comparison(prompt, (right, wrong)))
  return found


def right_on_wrong(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> list[Comparison]:
  """Two samples of one prompt, the first right and the second not.

  In all else they are as they were drawn, so gold may prefer the second.
  """
  return [
    Comparison(prompt, (one, other) if right else (other, one))
    for prompt, one, other in _two_samples(prompts, responses)
    if (right := is_right(prompt, one)) != is_right(prompt, other)
  ]


def _two_samples(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> Iterator[tuple[Prompt, str, str]]:
  """Every two samples of one prompt, prompt by prompt."""
  samples: dict[Prompt, list[str]] = {}
  for prompt, response in zip(prompts, responses, strict=True):
    samples.setdefault(prompt, []).append(response)
  for prompt, said in samples.items():
    for one, other in itertools.combinations(said, 2):
      yield prompt, one, other
