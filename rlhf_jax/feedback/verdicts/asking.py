"""A chat model as a judge of two responses, or as a reward of one."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from rlhf_jax.feedback.endpoint import Answer
from rlhf_jax.feedback.verdicts import conversations
from rlhf_jax.feedback.verdicts.template import Template, TemplateError
from rlhf_jax.types import Message, Prompt


class Asked(Protocol):
  """A chat model: behind an endpoint, or in a folder.

  Attributes:
    name: as reports have it.
  """

  name: str

  def answers(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer]:
    """Its replies, with log-probs of the options where it can say them."""


@dataclasses.dataclass(frozen=True)
class PairJudge:
  """A chat model that compares two responses, as an `evaluation.Judge`.

  Attributes:
    asked: the model, whose replies are as long as the template says.
    template: of the question.
  """

  asked: Asked
  template: Template

  def __post_init__(self):
    if self.template.rates:
      raise TemplateError(
        f'{self.template.name} rates one response, and two are to be compared'
      )

  @property
  def name(self) -> str:
    return f'{self.asked.name}, {self.template.name}'

  def __call__(
    self,
    prompts: Sequence[Prompt],
    first: Sequence[str],
    second: Sequence[str],
  ) -> np.ndarray:
    """[N] credits of the first responses, NaN where no verdict was read."""
    rows = list(zip(prompts, first, second, strict=True))
    if self.template.together > 1:
      return self._together(rows)
    asked = conversations.after_replies(self.asked, self.template, rows)
    said = self.asked.answers(asked, options=self.template.options)
    return np.array([self._credit(answer) for answer in said])

  def questions(
    self,
    prompts: Sequence[Prompt],
    first: Sequence[str],
    second: Sequence[str],
  ) -> list[tuple[Message, ...]]:
    """The conversations that are put to the model, on N rows in all.

    Replies that some of them hold, and that were not given yet, are stood in
    for by texts as long as they may be.
    """
    rows = list(zip(prompts, first, second, strict=True))
    if self.template.together > 1:
      return list(map(self.template.filled_together, self._parts(rows)))
    return conversations.foreseen(self.asked, self.template, rows)

  def _together(self, rows):
    parts = self._parts(rows)
    said = self.asked.answers(list(map(self.template.filled_together, parts)))
    credits = [
      self.template.read(answer.text, number)
      for part, answer in zip(parts, said, strict=True)
      for number in range(1, len(part) + 1)
    ]
    return np.array([math.nan if x is None else x for x in credits])

  def _parts(self, rows):
    size = self.template.together
    return [rows[i : i + size] for i in range(0, len(rows), size)]

  def _credit(self, answer):
    if answer.logprobs is not None and self.template.options:
      credit = probability(answer.logprobs, *self.template.options)
      if credit is not None:
        return credit
    credit = self.template.read(answer.text)
    return math.nan if credit is None else credit


@dataclasses.dataclass(frozen=True)
class Rater:
  """A chat model that rates a response, as a Reward.

  Attributes:
    asked: the model.
    template: of the question, one that rates.
  """

  asked: Asked
  template: Template

  def __post_init__(self):
    if not self.template.rates:
      raise TemplateError(
        f'{self.template.name} compares two responses, and one is to be rated'
      )

  @property
  def name(self) -> str:
    return f'{self.asked.name}, {self.template.name}'

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N] ratings, NaN where none was read."""
    rows = list(zip(prompts, responses, strict=True))
    asked = conversations.after_replies(self.asked, self.template, rows)
    said = map(self.template.read, (x.text for x in self.asked.answers(asked)))
    return np.array([math.nan if x is None else x for x in said])

  def questions(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> list[tuple[Message, ...]]:
    """The conversations that are put to the model, as of PairJudge."""
    rows = list(zip(prompts, responses, strict=True))
    return conversations.foreseen(self.asked, self.template, rows)


def probability(
  logprobs: Mapping[str, float], first: str, second: str
) -> float | None:
  """The first option's share of the two options' probability.

  An option that is not among the log-probs has none; None where neither is.
  Blanks around tokens do not count.

  Source: Dubois et al. 2024 (AlpacaEval 2).
  """
  shares = [
    sum(math.exp(x) for token, x in logprobs.items() if token.strip() == option)
    for option in (first, second)
  ]
  return shares[0] / sum(shares) if sum(shares) > 0 else None
