"""Which of two responses people chose, as `launch.annotate` writes it down."""

from collections.abc import Iterator
from typing import Any

from rlhf_jax.data import fields
from rlhf_jax.data.formats import conversations
from rlhf_jax.data.formats.conversations import Unusable
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.readers import Row, all_named
from rlhf_jax.types import Comparison, Prompt

# What a person may say in place of 1 or 2, and why nothing is learnt from it.
UNDECIDED = {
  'equal': 'both responses were found equal',
  'unsure': 'somebody was not sure which response is better',
  'skip': 'somebody skipped the pair',
  None: 'nobody has chosen a response yet',
}


def _one_of(*known: Any) -> fields.Parser:
  """A number or a text among some; true is no 1."""

  def parse(value: Any) -> Any:
    if type(value) not in (int, str) or value not in known:
      raise fields.Fault(f'must be one of {", ".join(map(repr, known))}.')
    return value

  return parse


def _chosen(row: Row, where: str) -> Iterator[Comparison]:
  choice = row['choice']
  if choice in UNDECIDED:
    raise Unusable(UNDECIDED[choice])
  messages, responses = conversations.exchange(
    row['prompt'], row['response_1'], row['response_2']
  )
  models = all_named(row['policy_1'], row['policy_2'])
  responses, models = (
    given[::-1] if choice == 2 else given for given in (responses, models)
  )
  prompt = Prompt(messages, row['subset'], where)
  yield Comparison(prompt, responses, models=models)


# A line for every person and pair. Who chose, when, in how many seconds and
# which response was to the left is for people to look at.
CHOICES = Format(
  "people's choices",
  {
    'prompt': conversations.said,
    'response_1': fields.text,
    'response_2': fields.text,
    'choice': fields.Optional(_one_of(1, 2, *filter(None, UNDECIDED))),
    'subset': fields.TEXT_OR_EMPTY,
    'pair': fields.TEXT_OR_EMPTY,
    'annotator': fields.TEXT_OR_EMPTY,
    'left': fields.Optional(_one_of(1, 2)),
    'seconds': fields.Optional(fields.number),
    'time': fields.TEXT_OR_EMPTY,
    'policy_1': fields.TEXT_OR_EMPTY,
    'policy_2': fields.TEXT_OR_EMPTY,
  },
  _chosen,
)
