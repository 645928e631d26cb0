"""The members of a judge: which pairs each is asked about, and how."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rlhf_jax.evaluation import judges, simulated_annotators
from rlhf_jax.feedback import verdicts

RATING_TIE = 0.1  # Grades of 1 to 10 that differ by no more are equal.


class Asking(NamedTuple):
  """How a chat model is asked by a template.

  Attributes:
    chat: the model.
    template: of the questions.
    questions: (prompts, responses, others) -> what it is asked of them, as they
      are shown.
    verdict_questions: likewise, those of them that verdicts or ratings reply
      to, each with the prompts that it is about.
    read: (an answer, how many prompts it is about) -> as many verdicts, or
      ratings, that it holds; NaN for none.
  """

  chat: Any
  template: Any
  questions: Callable[..., list[Any]]
  verdict_questions: Callable[..., list[Any]]
  read: Callable[..., Any]


class Member(NamedTuple):
  """One of those who share the prompts, or the only one.

  Attributes:
    judge: an `evaluation.Judge`.
    identity: changes when its verdicts might.
    asking: of a chat model; None of another judge.
  """

  judge: judges.Judge
  identity: str
  asking: Asking | None = None

  @property
  def together(self) -> int:
    """How many pairs it is asked about at once."""
    return self.asking.template.together if self.asking else 1


def of_chat(chat: Any, template: Any, identity: str) -> Member:
  """A chat model that is asked about two responses, or about each.

  Args:
    chat: the model, whose replies are as long as the template says.
    template: of the questions.
    identity: of the model, and of how it is sampled.
  """
  identity = f'{identity} {template.digest}'
  if not template.rates:
    judge = verdicts.PairJudge(chat, template)
    how = judge.questions, judge.verdict_questions, judge.read
    return Member(judge, identity, Asking(chat, template, *how))
  rater = verdicts.Rater(chat, template)

  def on_each(questions):
    return lambda prompts, first, second: [
      *questions(prompts, first),
      *questions(prompts, second),
    ]

  how = on_each(rater.questions), on_each(rater.verdict_questions), rater.read
  judge = judges.by_reward(rater, tie=RATING_TIE)
  return Member(judge, identity, Asking(chat, template, *how))


def shared(
  members: Sequence[Member],
  flips: float,
  shown: Sequence[Sequence[Sequence[Any]]],
) -> Iterator[tuple[Member, list[list[list[Any]]]]]:
  """Each member that is a chat model, and the pairs that it is asked about.

  A pair that was there before, in an order of its own or another's, is left
  out: its verdict is kept. So is one that a coin decides.

  Args:
    members: of a judge.
    flips: of it, as of `simulated_annotators.with_flips`.
    shown: of each order, columns of prompts, responses and others.
  """
  orders = _each_once(shown)
  places = [
    [
      None if coin else place
      for coin, place in zip(
        simulated_annotators.by_coin(*columns, flips=flips),
        simulated_annotators.shared_out(len(members), columns[0]),
        strict=True,
      )
    ]
    for columns in orders
  ]
  for number, member in enumerate(members):
    if member.asking is None:
      continue
    yield (
      member,
      [
        [
          [x for x, place in zip(column, where, strict=True) if place == number]
          for column in columns
        ]
        for columns, where in zip(orders, places, strict=True)
      ],
    )


def _each_once(shown):
  """Orders as of `shared`, without the pairs that are there again."""
  seen, found = set(), []
  for columns in shown:
    rows = []
    for row in zip(*columns, strict=True):
      prompt, first, second = row
      pair = prompt.messages, prompt.answer, first, second
      if pair not in seen:
        rows.append(row)
        seen.add(pair)
    found.append([[row[i] for row in rows] for i in range(3)])
  return found
