"""Two-step word problems, as lines of a grade-school maths file."""

import numpy as np

NAMES = ('Ana', 'Ben', 'Eve', 'Ida', 'Leo', 'Tom')
THINGS = ('apples', 'books', 'coins', 'pens')


def make(count: int, seed: int, most: int = 9) -> list[dict[str, str]]:
  """Different problems: so many bags of so many things, and some more or less.

  Args:
    count: lines.
    seed: of the numbers.
    most: the largest number in a question.
  """
  random, lines = np.random.default_rng(seed), {}
  while len(lines) < count:
    name, thing = random.choice(NAMES), random.choice(THINGS)
    bags, each, more = random.integers(2, most + 1, size=3).tolist()
    gains = random.random() < 0.5
    question = f'{name} has {bags} bags of {each} {thing} and ' + (
      f'buys {more} more' if gains else f'gives {min(more, bags)} away'
    )
    more = more if gains else min(more, bags)
    product, sign = bags * each, '+' if gains else '-'
    total = product + more if gains else product - more
    lines[question] = (
      f'{bags} * {each} = {product}\n{product} {sign} {more} = {total}\n'
      f'#### {total}'
    )
  return [
    {'question': f'{question}. How many {question.split()[5]} are there?'}
    | {'answer': answer}
    for question, answer in lines.items()
  ]


def write(path, lines) -> None:
  """The lines as a file: python -m tests.data.word_problems FILE COUNT."""
  import json

  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
