"""Places in braces of a question to a judge, and what they are filled with."""

import re
from collections.abc import Iterable, Mapping, Sequence

from rlhf_jax.feedback.verdicts import turns
from rlhf_jax.types import Message, Prompt

# What a place is filled with, by the names that people give it.
FIELDS = {
  'instruction': 'prompt',
  'question': 'prompt',
  'prompt': 'prompt',
  'input': 'prompt',
  'output_1': 'first',
  'answer_a': 'first',
  'output': 'first',
  'answer': 'first',
  'output_2': 'second',
  'answer_b': 'second',
  'reference': 'reference',
  'ref_answer_1': 'reference',
  'code': 'code',
  # Of a conversation of two turns.
  'question_1': 'prompt_1',
  'question_2': 'prompt_2',
  'answer_a_1': 'first_1',
  'answer_1': 'first_1',
  'answer_a_2': 'first_2',
  'answer_2': 'first_2',
  'answer_b_1': 'second_1',
  'answer_b_2': 'second_2',
  'ref_answer_2': 'reference_2',
}
ALONE = ('output', 'answer_1', 'answer_2')  # Names where one is rated.
TURNS = ('prompt_1', 'first_1', 'second_1', 'prompt_2', 'first_2', 'second_2')
NO_REFERENCE = '(There is no reference answer.)'
BOTH_REFERENCES = '(It follows the reference answer above.)'
_PLACE = re.compile(r'\{(\w+)\}')


def names(messages: Sequence[Message]) -> list[str]:
  """What stands in braces in messages."""
  return _PLACE.findall('\n'.join(message.content for message in messages))


def fields(given: Iterable[str]) -> set[str]:
  """What places of these names are filled with."""
  return {FIELDS[name] for name in given if name in FIELDS}


def texts(prompt: Prompt, first: str, second: str) -> dict[str, str]:
  """What fills places, by FIELDS, of a conversation of one turn or more."""
  return {
    'prompt': prompt.text,
    'first': first,
    'second': second,
    'reference': prompt.answer or NO_REFERENCE,
  }


def of_turns(prompt: Prompt, responses: Sequence[str]) -> dict[str, str] | None:
  """What fills places of TURNS; None where there are not two of them.

  Args:
    prompt: that was asked.
    responses: to it, one or two.
  """
  conversation = turns.two(prompt, responses)
  if conversation is None:
    return None
  (first, second), answers = conversation
  found = {'prompt_1': first, 'prompt_2': second}
  for who, (one, two) in zip(('first', 'second'), answers, strict=False):
    found |= {f'{who}_1': one, f'{who}_2': two}
  later = BOTH_REFERENCES if prompt.answer else NO_REFERENCE
  return found | {'reference_2': later}


def filled(
  content: str, given: Mapping[str, str], said: Mapping[str, str]
) -> str:
  """A text with its places filled.

  {input} is empty where {instruction}, or another name of the prompt's, is
  there besides: a prompt says its input itself.

  Args:
    content: the text; other braces in it stay as they are.
    given: texts by FIELDS.
    said: further texts, by the names of their places.
  """
  shown = [name for name in _PLACE.findall(content) if name != 'input']
  twice = 'prompt' in fields(shown)

  def fill(place):
    name = place[1]
    if name == 'input' and twice:
      return ''
    found = given.get(FIELDS[name]) if name in FIELDS else said.get(name)
    return place[0] if found is None else found

  return _PLACE.sub(fill, content)
