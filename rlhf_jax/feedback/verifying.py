r"""Rewards of programs that check the answer.

Each is a Reward, (prompts, responses) -> [N] float32, once its options are
bound: `functools.partial(number, wrong=0.1)`. Responses are checked against
`Prompt.answer`, which no model sees; a prompt without one is a ValueError.

The final answer of a response is marked in it: the rest of the line after its
last `####`, as in grade-school maths sets (Cobbe et al. 2021), or the content
of its last `\boxed{…}`, as in competition maths (Hendrycks et al. 2021),
whichever comes last.
"""

import math
import re
from collections.abc import Sequence

import numpy as np

from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Finite, NonNegative

MARK = '####'
_BOX = re.compile(r'\\boxed\s*\{')
_FRACTION = re.compile(
  r'(?P<whole>\d?)\\[dt]?frac\s*\{\s*(?P<over>-?\d+)\s*\}\s*\{\s*(?P<under>\d+)'
  r'\s*\}'
)
# A number as people write it: 1,234.5, .5, $3, 3/4, 1 1/2, −2, 1e-3. A minus is
# its sign where it touches it and nothing before it.
_DIGITS = (
  r'(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<!\.)\.\d+'
)
_NUMBER = re.compile(
  r'(?<!\w)(?<!\d\.)(?:(?<![)\]}])(?P<minus>[-−]))?'
  r'(?:\\?\$\s?(?P<negative>[-−])?)?'
  rf'(?:(?P<whole>\d+) (?=\d+/\d))?(?P<over>{_DIGITS})'
  rf'(?:\s?/\s?(?P<under>{_DIGITS}))?'
)


def exact_answer(
  prompts: Sequence[Prompt],
  responses: Sequence[str],
  *,
  right: Finite = 1.0,
  wrong: Finite = 0.0,
) -> np.ndarray:
  """Whether the final answer is the prompt's, as text.

  Case, spaces, quotes around it and punctuation after it do not count. Where
  nothing is marked as the final answer, the last line is.

  Args:
    right: reward of an answer that is the prompt's.
    wrong: of any other.
  """

  def score(prompt, response):
    given = final_answer(response)
    if given is None:
      given = (response.strip().splitlines() or [''])[-1]
    return right if _plain(given) == _plain(_answer(prompt)) else wrong

  return _scores(score, prompts, responses)


def number(
  prompts: Sequence[Prompt],
  responses: Sequence[str],
  *,
  tolerance: NonNegative = 1e-6,
  right: Finite = 1.0,
  wrong: Finite = 0.0,
  unanswered: Finite = 0.0,
) -> np.ndarray:
  """Whether the last number of the final answer is the prompt's.

  Where nothing is marked as the final answer, the last number of the response
  counts. 1,234.50, 3/4, 1 1/2, .5, −2 and 1e3 are numbers, in English notation:
  in 1.234,50 or 1 234 others are found. Units, a currency and % are not read,
  so that 50% is 50. A minus between two numbers subtracts.

  Args:
    tolerance: largest difference that counts as equal: relative to the larger
      of the two, and absolute below 1.
    right: reward of a number that is the prompt's.
    wrong: of another; more than `unanswered`, it rewards the format.
    unanswered: of a response without a number where one is looked for.

  Raises:
    ValueError: a prompt has no answer, or none with a number.
  """

  def score(prompt, response):
    truth = last_number(_answer(prompt))
    if truth is None:
      raise ValueError(
        f'{prompt.place} has the answer {prompt.answer!r}, which holds no '
        'number; compare texts by verifying.exact_answer'
      )
    given = final_number(response)
    if given is None:
      return unanswered
    near = math.isclose(given, truth, rel_tol=tolerance, abs_tol=tolerance)
    return right if near else wrong

  return _scores(score, prompts, responses)


def matches(
  prompts: Sequence[Prompt],
  responses: Sequence[str],
  *,
  pattern: str,
  right: Finite = 1.0,
  wrong: Finite = 0.0,
) -> np.ndarray:
  """Whether the whole response is as a regular expression says.

  Spaces around the response do not count, and a dot matches a new line too.

  Args:
    pattern: a regular expression of Python's; {answer} in it is the prompt's
      answer, letter for letter. Without it prompts need no answer.
    right: reward of a match.
    wrong: of anything else.

  Raises:
    ValueError: not a regular expression, or a prompt has no answer.
  """

  def score(prompt, response):
    found = _compiled(pattern, prompt).fullmatch(response.strip())
    return right if found else wrong

  return _scores(score, prompts, responses)


def contains(
  prompts: Sequence[Prompt],
  responses: Sequence[str],
  *,
  pattern: str,
  right: Finite = 1.0,
  wrong: Finite = 0.0,
) -> np.ndarray:
  """Whether a regular expression is found anywhere in the response.

  All else is as of `matches`.
  """

  def score(prompt, response):
    return right if _compiled(pattern, prompt).search(response) else wrong

  return _scores(score, prompts, responses)


def final_answer(response: str) -> str | None:
  """What a response marks as its final answer; None where it marks nothing."""
  start, boxes = response.rfind(MARK), list(_BOX.finditer(response))
  if boxes and boxes[-1].start() > start:
    return _until_closed(response[boxes[-1].end() :])
  if start < 0:
    return None
  after = response[start + len(MARK) :].strip()
  return (after.splitlines() or [''])[0]


def final_number(response: str) -> float | None:
  """The last number of the final answer, or of all where none is marked."""
  marked = final_answer(response)
  return last_number(response if marked is None else marked)


def last_number(text: str) -> float | None:
  """The last number that a text holds; None where it holds none."""
  found = _NUMBER.finditer(_FRACTION.sub(_slashed, text))
  finite = [x for x in map(_value, found) if math.isfinite(x)]
  return finite[-1] if finite else None


def _slashed(match):
  whole, over, under = match.group('whole', 'over', 'under')
  return f'{whole} {over}/{under}' if whole else f'{over}/{under}'


def _value(match):
  parts = match.groupdict()
  over, under, whole = (
    float((parts[name] or default).replace(',', ''))
    for name, default in (('over', ''), ('under', '1'), ('whole', '0'))
  )
  size = whole + over / under if under else math.nan
  return -size if parts['minus'] or parts['negative'] else size


def _until_closed(text):
  """The text up to the brace that closes one before it, or all of it."""
  depth = 1
  for place, letter in enumerate(text):
    depth += (letter == '{') - (letter == '}')
    if not depth:
      return text[:place]
  return text


def _plain(text):
  words = ' '.join(text.casefold().split())
  return words.strip('"\'`*“”‘’ ').rstrip('.,;:!?"\'`*“”‘’ ')


def _answer(prompt):
  if not prompt.answer.strip():
    raise ValueError(
      f'{prompt.place} has no answer to check responses against; its reader '
      'has to set Prompt.answer'
    )
  return prompt.answer


def _compiled(pattern, prompt):
  if '{answer}' in pattern:
    # Not str.format: braces are repetitions in a regular expression.
    pattern = pattern.replace('{answer}', re.escape(_answer(prompt)))
  try:
    return re.compile(pattern, re.DOTALL)
  except re.error as error:
    raise ValueError(
      f'the pattern {pattern!r} is no regular expression: {error}'
    ) from None


def _scores(score, prompts, responses):
  pairs = zip(prompts, responses, strict=True)
  return np.array([score(*pair) for pair in pairs], np.float32)
