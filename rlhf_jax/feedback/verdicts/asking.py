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
    rows = list(zip(prompts, first, second, strict=True))
    parts = self._parts(rows)
    if self.template.together > 1:
      said = self.asked.answers(list(map(self.template.filled_together, parts)))
    else:
      said = conversations.answers(self.asked, self.template, rows)
    return np.concatenate(
      [self.read(x, len(part)) for x, part in zip(said, parts, strict=True)]
      or [np.zeros(0)]
    )

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
    before, last = self._foreseen(prompts, first, second)
    return [*before, *last]

  def verdict_questions(
    self,
    prompts: Sequence[Prompt],
    first: Sequence[str],
    second: Sequence[str],
  ) -> list[tuple[tuple[Message, ...], list[Prompt]]]:
    """Those `questions` that verdicts reply to, and the prompts of each.

    Or the one before that is known to be refused, so that there is no verdict.
    """
    _, last = self._foreseen(prompts, first, second)
    return list(zip(last, self._parts(list(prompts)), strict=True))

  def read(self, answer: Answer, count: int = 1) -> np.ndarray:
    """[count] credits that a reply says; NaN where it says none, or is none."""
    if answer.refusal is not None:
      return np.full(count, math.nan)
    if answer.logprobs is not None and self.template.options:
      credit = probability(answer.logprobs, *self.template.options)
      if credit is not None:
        return np.array([credit])
    if self.template.together == 1:
      return _read([self.template.read(answer.text)])
    return _read(
      [self.template.read(answer.text, place + 1) for place in range(count)]
    )

  def _foreseen(self, prompts, first, second):
    rows = list(zip(prompts, first, second, strict=True))
    if self.template.together > 1:
      return [], list(map(self.template.filled_together, self._parts(rows)))
    return conversations.foreseen(self.asked, self.template, rows)

  def _parts(self, rows):
    size = self.template.together
    return [rows[i : i + size] for i in range(0, len(rows), size)]


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
    said = conversations.answers(self.asked, self.template, rows)
    return np.concatenate([self.read(x) for x in said] or [np.zeros(0)])

  def questions(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> list[tuple[Message, ...]]:
    """The conversations that are put to the model, as of PairJudge."""
    before, last = self._foreseen(prompts, responses)
    return [*before, *last]

  def verdict_questions(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> list[tuple[tuple[Message, ...], list[Prompt]]]:
    """Those `questions` that ratings reply to, as of PairJudge."""
    _, last = self._foreseen(prompts, responses)
    return [(x, [prompt]) for x, prompt in zip(last, prompts, strict=True)]

  def read(self, answer: Answer, count: int = 1) -> np.ndarray:
    """[1] rating that a reply says; NaN where it says none, or is none."""
    if answer.refusal is not None:
      return np.full(count, math.nan)
    return _read([self.template.read(answer.text)])

  def _foreseen(self, prompts, responses):
    rows = list(zip(prompts, responses, strict=True))
    return conversations.foreseen(self.asked, self.template, rows)


def _read(said: Sequence[float | None]) -> np.ndarray:
  return np.array([math.nan if x is None else x for x in said])


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
