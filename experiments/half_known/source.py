"""Dialogues that people compared, and sums that a program can check.

All text goes to the model as it is: a sum is asked after four that are
answered, and the answer ends with its line.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.afternoon.source import dialogues, fingerprint, stopping_at
from rlhf_jax.data import jsonl, readers, splits, templates, tokens
from rlhf_jax.data.sources import Corpus
from rlhf_jax.feedback import verifying
from rlhf_jax.types import Comparison, Prompt
from rlhf_jax.types.rules import Count, ShareBetween
from rlhf_jax.types.values import checked

DIALOGUES = 'hh_helpful_base_test.jsonl.gz'
# What ends a line in byte-level tokens, at which an answer stops.
STOPS = ('Ċ', 'ĊĊ')
ASKED = '{} {} {} ='
SHOWN = '31 + 7 = 38\n26 - 9 = 17\n4 * 6 = 24\n58 + 5 = 63\n'
SUMS = {'+': int.__add__, '*': int.__mul__}


@dataclasses.dataclass(frozen=True)
@checked
class Source:
  """Where the dialogues are, and how much is read and asked.

  Attributes:
    data: folder of `DIALOGUES`, a line each as of `first_afternoon`.
    tokenizer: folder of the model that reads them.
    pairs: most pairs that people compared to learn from.
    test_pairs: most held-out ones.
    held_out: share of the dialogues that is held out.
    longest: of an answer and of what is said before it, in characters.
    problems: sums that are sampled to make pairs of.
    test_problems: other ones, whose samples rewards are measured on.
  """

  data: str
  tokenizer: str
  _: dataclasses.KW_ONLY
  pairs: Count = 400
  test_pairs: Count = 250
  held_out: ShareBetween = 0.4
  longest: Count = 240
  problems: Count = 240
  test_problems: Count = 240

  def fingerprint(self) -> str:
    """As of `afternoon.source.fingerprint`.

    Raises:
      DataError: a file is not there, or no model.
    """
    return fingerprint(self, [self.path()])

  def path(self) -> pathlib.Path:
    """Of the dialogues.

    Raises:
      DataError: they are not there.
    """
    path = pathlib.Path(self.data) / DIALOGUES
    if not path.is_file():
      raise jsonl.DataError(
        f'there is no {path}, a test file of HH-RLHF (MIT, '
        'github.com/anthropics/hh-rlhf); give its folder by --set data=DIR'
      )
    return path

  def load(self, folder: pathlib.Path) -> Corpus:
    """Pairs to learn from and others, sums to sample and others.

    Gold is whether the last number of a response is right.
    """
    del folder  # Nothing takes long.
    short = dialogues(
      readers.pairs(self.path()), 'helpful', longest=self.longest
    )
    pairs, test_pairs = splits.split(short, self.held_out)
    sums = problems(self.problems + self.test_problems)
    return Corpus(
      stopping_at(STOPS, tokens.load(self.tokenizer)),
      templates.PLAIN,
      {
        'helpful_pairs': pairs[: self.pairs],
        'test_helpful_pairs': test_pairs[: self.test_pairs],
        'problems': sums[: self.problems],
        'test_problems': sums[self.problems :],
      },
      gold=verifying.number,
    )


def problems(count: int) -> list[Prompt]:
  """So many different sums, always the same, each kind by turns.

  Of kinds on which samples of SmolLM2-135M are right on about half: numbers
  below 30 plus one of a digit, products up to 19 times 19, and of a digit and a
  multiple of ten up to 250. None is another one turned round, nor one that is
  shown. There are 510.
  """
  draw, digits = np.random.default_rng(0), range(2, 10)
  kinds = {
    'plus': ('+', range(2, 30), digits),
    'times': ('*', range(2, 20), range(2, 20)),
    'tens': ('*', digits, range(20, 260, 10)),
  }

  def mixed(kind):
    sign, first, second = kinds[kind]
    pairs = {tuple(sorted(p)): p for p in itertools.product(first, second)}
    new = [
      (kind, sign, one, other)
      for one, other in pairs.values()
      if ASKED.format(one, sign, other) not in SHOWN
      and ASKED.format(other, sign, one) not in SHOWN
    ]
    return [new[i] for i in draw.permutation(len(new))]

  by_turns = itertools.chain.from_iterable(
    zip(*map(mixed, kinds), strict=False)
  )
  return [
    readers.one_turn(
      SHOWN + ASKED.format(one, sign, other),
      kind,
      answer=str(SUMS[sign](one, other)),
    )
    for kind, sign, one, other in itertools.islice(by_turns, count)
  ]


def one_of_each(
  prompts: Sequence[Prompt], responses: Sequence[str]
) -> list[Comparison]:
  """The first right sample of each prompt against the first wrong one."""
  found: dict[Prompt, dict[bool, str]] = {}
  right = verifying.number(prompts, responses)
  for prompt, response, mark in zip(prompts, responses, right, strict=True):
    found.setdefault(prompt, {}).setdefault(bool(mark), response)
  return [
    Comparison(prompt, (said[True], said[False]))
    for prompt, said in found.items()
    if len(said) == 2
  ]
