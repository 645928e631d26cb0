"""What policies are conditioned on, in words of the sandbox."""

import re

from rlhf_jax.sandbox.gold import Attributes

# What conditions have beside digits and marks, which the world has too.
CONDITION_WORDS = (
  '-',
  '<rm_score>:',
  '<extra_id_2>',
  *(f'{name}:' for name in Attributes._fields),
)
_WORD = re.compile(r'<[a-z_0-9]+>:?|[a-z_]+:|[-.,0-9]')


def spell(text: str) -> str:
  """A condition with a space between its words, its digits and its marks.

  `<rm_score>: -1.2` is spelt `<rm_score>: - 1 . 2`.
  """
  return ' '.join(_WORD.findall(text))
