"""Responses that are similar by their words, or by their final answers.

Each is a Similarity once its options are bound, as in
`functools.partial(ngram, threshold=0.4)`. It takes B prompts, a list of N
responses to each, and queries, which it ignores; it returns B matrices, [N, N]
bool.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback import verifying
from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Count, Share

# (prompts, a list of responses to each, a dataset stage's queries) -> for each
# prompt, [N, N] bool: which responses are similar. Symmetric, and True where
# two strings are equal, so on the diagonal too.
Similarity = Callable[
  [Sequence[Prompt], Sequence[Sequence[str]], Any], list[np.ndarray]
]

_WORD = re.compile(r'\w+')
_ENDS = '.,;:!?。、 '


def exact(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], queries: Any
) -> list[np.ndarray]:
  """Equal texts, but for case, spaces, Unicode's forms and the full stop."""
  del prompts, queries
  return [_pairwise(listed, plain, str.__eq__) for listed in texts]


def answer(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  extract: Callable[[Prompt, str], str | None],
) -> list[np.ndarray]:
  """Equal final answers, compared as by `exact`.

  Args:
    extract: a response's final answer, such as `final_text` or `final_number`;
      None where it has none, and then it is similar only to equal strings.

  Source: Wang et al. 2023 (self-consistency), §2.
  """
  del queries

  def said(prompt, text):
    given = extract(prompt, text)
    return None if given is None else plain(given)

  def same(first, second):
    return first is not None and first == second

  return [
    _pairwise(listed, functools.partial(said, prompt), same)
    for prompt, listed in zip(prompts, texts, strict=True)
  ]


def ngram(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  n: Count = 3,
  threshold: Share = 0.5,
) -> list[np.ndarray]:
  """Texts that share many runs of n words: |A ∩ B| / |A ∪ B| ≥ the threshold.

  A and B are sets; a text of fewer than n words is one run.

  Args:
    n: words in a run, 1 or more.
    threshold: smallest share that counts as similar, in (0, 1].

  Source: Broder 1997, the resemblance of documents.
  """
  del prompts, queries

  def runs(text):
    listed = words(text)
    starts = range(max(len(listed) - n, 0) + 1) if listed else ()
    return {tuple(listed[start : start + n]) for start in starts}

  def alike(first, second):
    either = len(first | second)
    return either > 0 and len(first & second) / either >= threshold

  return [_pairwise(listed, runs, alike) for listed in texts]


def rouge_l(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  threshold: Share = 0.7,
) -> list[np.ndarray]:
  """Texts that have most of their words in one order: F₁ ≥ the threshold.

  F₁ = 2 L / (|a| + |b|) with |·| in words and L the longest common subsequence.

  Args:
    threshold: smallest F₁ that counts as similar, in (0, 1].

  Source: Lin 2004 (ROUGE), §3.1, eqs. 2-4 with β = 1.
  """
  del prompts, queries

  def alike(first, second):
    both = len(first) + len(second)
    return both > 0 and 2 * longest_common(first, second) / both >= threshold

  return [_pairwise(listed, words, alike) for listed in texts]


def final_text(prompt: Prompt, response: str) -> str | None:
  """What a response marks as its final answer; None where it marks nothing."""
  del prompt
  marked = verifying.final_answer(response)
  return marked if marked and marked.strip() else None


def final_number(prompt: Prompt, response: str) -> str | None:
  """The last number of the final answer, to twelve digits.

  Where nothing is marked as the final answer, the last number of the response
  counts; None where there is none.
  """
  del prompt
  given = verifying.final_number(response)
  return None if given is None else f'{given + 0.0:.12g}'  # −0 is 0.


def plain(text: str) -> str:
  """A normalised text: NFKC, no case, single spaces, no punctuation at the end.

  A text of punctuation alone keeps it.
  """
  squeezed = ' '.join(unicodedata.normalize('NFKC', text).casefold().split())
  return squeezed.rstrip(_ENDS) or squeezed


def words(text: str) -> list[str]:
  """The words of a text, without case and punctuation."""
  return _WORD.findall(plain(text))


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
  """Length of the longest common subsequence; each row of the table is an int.

  Source: Hyyrö 2004, Bit-parallel LCS-length computation revisited.
  """
  places = {}
  for place, word in enumerate(first):
    places[word] = places.get(word, 0) | 1 << place
  row = whole = (1 << len(first)) - 1
  for word in second:
    met = row & places.get(word, 0)
    row = ((row + met) | (row - met)) & whole
  return len(first) - row.bit_count()


def distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
  """The different strings, in order, and where each text is among them [N]."""
  found = {text: place for place, text in enumerate(dict.fromkeys(texts))}
  return list(found), np.array([found[text] for text in texts], int)


def _pairwise(texts, view, alike) -> np.ndarray:
  """[N, N] bool: whether the views of two texts are alike, each seen once."""
  found, places = distinct(texts)
  views = [view(text) for text in found]
  similar = np.eye(len(found), dtype=bool)
  for i, j in itertools.combinations(range(len(found)), 2):
    similar[i, j] = similar[j, i] = alike(views[i], views[j])
  return similar[np.ix_(places, places)]
