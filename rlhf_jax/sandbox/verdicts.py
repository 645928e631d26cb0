"""Text from which a model can learn to tell whether an answer is right.

A model of the web has read corrections and marked homework before anyone asks
it to compare two answers, and a model that has only imitated answers has not:
what follows an answer does not depend on whether it was right, so no state of
its own has to say it.
"""

from rlhf_jax.data import templates, tokens
from rlhf_jax.sandbox.sample_pairs import is_right
from rlhf_jax.types import Demonstration, Message, Prompt

VERDICT_WORDS = ('right', 'wrong')
# One turn is contents alone; an earlier answer ends as a response does.
TEMPLATE = templates.MarkerTemplate(
  assistant=('', tokens.EOS), special=(tokens.EOS,)
)


def judged(prompt: Prompt, response: str) -> Demonstration:
  """A response to a prompt with the word that follows it: right or wrong.

  It is right if the right answer is the only answer word in it. Read by
  `TEMPLATE` and with `VERDICT_WORDS` in the vocabulary.
  """
  said = Message('assistant', response)
  asked = Prompt((*prompt.messages, said, Message('user', '')), prompt.kind)
  return Demonstration(asked, VERDICT_WORDS[not is_right(prompt, response)])
