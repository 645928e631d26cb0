"""What a template has to hold, so that what it asks can be answered."""

from rlhf_jax.feedback.verdicts import places
from rlhf_jax.feedback.verdicts.template import (
  EACH,
  NUMBER,
  Template,
  TemplateError,
)
from rlhf_jax.types import Message


def check(template: Template, file: str) -> None:
  """Refuses a template that does not hang together.

  Raises:
    TemplateError: naming the file.
  """
  _check_together(template, file)
  _check_places(template, file)
  _check_before(template, file)


def _check_together(template, file):
  """Refuses pairs that are asked about together and cannot be told apart."""
  if template.together == 1:
    return
  parts = [p for m in template.messages for p in EACH.findall(m.content)]
  if not parts or NUMBER not in parts[0]:
    raise TemplateError(
      f'{file}: it asks about {template.together} pairs together, and has no '
      'lines <|each|> and <|end|> around what is there for each, its {number} '
      'among it'
    )
  if NUMBER not in template.pattern.pattern:
    raise TemplateError(
      f'{file}: its verdict has no {{number}}, by which a pair among '
      f'{template.together} is told; as in verdict: ^{{number}}: (A|B)$'
    )
  around = [Message(m.role, EACH.sub('', m.content)) for m in template.messages]
  for name in places.names(around):
    if places.FIELDS.get(name, 'code') != 'code':
      raise TemplateError(
        f'{file}: {{{name}}} is outside the lines <|each|> and <|end|>, where '
        'it is of no pair; move it between them'
      )
  if template.before or template.options or template.rates:
    raise TemplateError(
      f'{file}: together is of verdicts on pairs that are asked for once, '
      'without options'
    )


def _check_places(template, file):
  """Refuses a question that leaves out what it is about."""
  messages = template.messages
  if template.together > 1:  # Others have none, as `_check_together` sees to.
    messages = [
      Message(m.role, '\n'.join(EACH.findall(m.content))) for m in messages
    ]
  there = places.fields(places.names(messages))
  turns = there & {*places.TURNS}
  for field in places.TURNS if turns else ('prompt', 'first', 'second'):
    if field in there or (template.rates and field.startswith('second')):
      continue
    known = [name for name, of in places.FIELDS.items() if of == field]
    alone = [name for name in known if name in places.ALONE]
    example = (alone if template.rates and alone else known)[0]
    listed = ', '.join(f'{{{name}}}' for name in known)
    raise TemplateError(
      f'{file}: it has no place {{{example}}} (or {listed}), so that the '
      'judge would not see what it judges'
    )


def _check_before(template, file):
  """Refuses replies that nobody reads, and log-probs of several replies."""
  asked = [*template.before.values(), template.messages]
  for i, name in enumerate(template.before, 1):
    if not any(name in places.names(messages) for messages in asked[i:]):
      raise TemplateError(
        f'{file}: nothing below --- {name} has the place {{{name}}}, so that '
        'its reply would be read by nobody'
      )
  if template.before and template.options:
    raise TemplateError(
      f'{file}: options are of a template that asks once; leave them out, or '
      'what is asked before'
    )
