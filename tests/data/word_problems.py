"""Two-step word problems, as lines of a grade-school maths file."""

import json
import pathlib

import numpy as np

NAMES = ('Ana', 'Ben', 'Eve', 'Ida', 'Leo', 'Tom')
THINGS = ('apples', 'books', 'coins', 'pens')


def make(count: int, seed: int, most: int = 9) -> list[dict[str, str]]:
  """Different problems: bags of things, and some that come or go.

  Args:
    count: how many.
    seed: of their words and numbers.
    most: the largest number that a question says.
  """
  random, answers = np.random.default_rng(seed), {}
  while len(answers) < count:
    name, thing = random.choice(NAMES), random.choice(THINGS)
    bags, each, some = random.integers(2, most + 1, size=3).tolist()
    product = bags * each
    if random.random() < 0.5:
      then, step = f'buys {some} more', f'{product} + {some}'
      total = product + some
    else:
      some = min(some, bags)  # Never more than there are.
      then, step = f'gives {some} away', f'{product} - {some}'
      total = product - some
    question = (
      f'{name} has {bags} bags of {each} {thing} and {then}. '
      f'How many {thing} are there?'
    )
    answers[question] = (
      f'{bags} * {each} = {product}\n{step} = {total}\n#### {total}'
    )
  return [{'question': q, 'answer': a} for q, a in answers.items()]


def write(path: pathlib.Path, lines: list[dict[str, str]]) -> None:
  """Writes lines of JSON."""
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
