"""A chat model as a judge of two responses, or as a reward of one."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from rlhf_jax.feedback.endpoint import Answer
from rlhf_jax.feedback.verdicts.templates import Template, TemplateError
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
    """Its replies, with log-probs of the options where it can say them.

    One that refuses a question, as too long, says why in its answer.
    """

  def kept(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer | None]:
    """What it replied before, None where that is not known; asks nothing."""


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
    said = self.asked.answers(
      self.questions(prompts, first, second), options=self.template.options
    )
    return np.array([self.read(answer) for answer in said])

  def questions(
    self,
    prompts: Sequence[Prompt],
    first: Sequence[str],
    second: Sequence[str],
  ) -> list[tuple[Message, ...]]:
    """The N conversations that are put to the model."""
    rows = zip(prompts, first, second, strict=True)
    return [self.template.filled(*row) for row in rows]

  def read(self, answer: Answer) -> float:
    """The credit that a reply says; NaN where it says none, or is none."""
    if answer.refusal is not None:
      return math.nan
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
    said = self.asked.answers(self.questions(prompts, responses))
    return np.array([self.read(answer) for answer in said])

  def questions(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> list[tuple[Message, ...]]:
    """The N conversations that are put to the model."""
    rows = zip(prompts, responses, strict=True)
    return [self.template.filled(*row) for row in rows]

  def read(self, answer: Answer) -> float:
    """The rating that a reply says; NaN where it says none, or is none."""
    if answer.refusal is not None:
      return math.nan
    rating = self.template.read(answer.text)
    return math.nan if rating is None else rating


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
