"""Responses that mean the same because each entails the other.

`classify` labels the entailment of pairs of texts: a model in a folder
(`nli_folder`), or one behind an endpoint (`endpoint.classify`).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback.similarity.texts import distinct
from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Count

CONTRADICTION, NEUTRAL, ENTAILMENT = 0, 1, 2
LABELS = {
  'contradiction': CONTRADICTION,
  'neutral': NEUTRAL,
  'entailment': ENTAILMENT,
}

# (N premises, N hypotheses) -> [N] int, one of the three labels.
Classify = Callable[[Sequence[str], Sequence[str]], np.ndarray]
# (labels forward, labels backward) -> bool, of equal shapes: the same meaning?
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def strict(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
  """Each entails the other.

  Args:
    forward: [...] int labels of the second text, given the first.
    backward: [...] of the first text, given the second.

  Returns:
    [...] bool.

  Source: Kuhn et al. 2023, algorithm 1.
  """
  return (forward == ENTAILMENT) & (backward == ENTAILMENT)


def relaxed(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
  """Neither contradicts the other, and not both are neutral.

  Source: Farquhar et al. 2024, as their code has it by default.
  """
  neither = (forward == NEUTRAL) & (backward == NEUTRAL)
  return permissive(forward, backward) & ~neither


def permissive(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
  """Neither contradicts the other: texts on different matters are the same.

  Source: Kuhn et al. 2023, as their first code has it.
  """
  return (forward != CONTRADICTION) & (backward != CONTRADICTION)


def entailment(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  classify: Classify,
  rule: Rule = strict,
  prompt_words: Count = 64,
  side_words: Count = 190,
) -> list[np.ndarray]:
  """Responses similar by a rule on the entailment of each pair of them.

  A premise or hypothesis is the prompt and the response. One call classifies
  every ordered pair of different responses, for all prompts.

  Args:
    prompts: B of them.
    texts: a list of responses to each.
    queries: not used.
    classify: (premises, hypotheses) -> [N] labels.
    rule: `strict`, `relaxed` or `permissive`.
    prompt_words: how many words of a prompt are kept, the first ones.
    side_words: how many of a prompt and response together. The defaults fit two
      sides of English into 512 tokens.

  Returns:
    B matrices, [N, N] bool.

  Raises:
    ValueError: `classify` does not give each pair one of the three labels.

  Source: Kuhn et al. 2023, algorithm 1; the prompt comes first in their code.
  """
  del queries
  premises, hypotheses, found = [], [], []
  for prompt, listed in zip(prompts, texts, strict=True):
    different, places = distinct(listed)
    sides = [_side(prompt, t, prompt_words, side_words) for t in different]
    for premise, hypothesis in itertools.permutations(sides, 2):
      premises.append(premise)
      hypotheses.append(hypothesis)
    found.append((len(different), places))
  labels = _labels(classify, premises, hypotheses)
  similar, start = [], 0
  for count, places in found:
    end = start + count * (count - 1)
    follows = np.full((count, count), ENTAILMENT)
    follows[~np.eye(count, dtype=bool)] = labels[start:end]
    same = rule(follows, follows.T) | np.eye(count, dtype=bool)
    similar.append(same[np.ix_(places, places)])
    start = end
  return similar


def _side(prompt, text, prompt_words, side_words) -> str:
  """The prompt and a response to it, in so many words."""
  asked = _first_words(prompt.text, prompt_words)
  return _first_words(f'{asked} {text}', side_words)


def _first_words(text, count) -> str:
  """A text as it is, or its first words where it has more than `count`."""
  words = text.split(maxsplit=count)
  return text if len(words) <= count else ' '.join(words[:count])


def _labels(classify, premises, hypotheses) -> np.ndarray:
  """[N] labels, checked; nothing is asked where there are no pairs."""
  if not premises:
    return np.zeros(0, int)
  labels = np.asarray(classify(premises, hypotheses))
  known = np.isin(labels, (CONTRADICTION, NEUTRAL, ENTAILMENT))
  if labels.shape != (len(premises),) or not np.all(known):
    raise ValueError(
      f'{len(premises)} pairs were given the labels {labels!r}, where each has '
      'to be 0 (contradiction), 1 (neutral) or 2 (entailment)'
    )
  return labels
