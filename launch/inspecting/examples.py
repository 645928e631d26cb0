"""Examples of a dataset, with what is learnt of them marked.

By a colour where there are any, or else by [[ ]].
"""

import textwrap
from collections.abc import Iterator, Sequence

from launch.inspecting.encoded import evenly
from launch.inspecting.words import LINE_END, columns, visible, wrapped
from rlhf_jax.data import token_inspection
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.inspection import kind_of
from rlhf_jax.data.token_inspection import Span
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.types import Record, prompt_of, responses_of

GREEN, PLAIN = '\x1b[32m', '\x1b[0m'
BETWEEN = '¦'  # Two tokens.
MOST_PIECES = 60  # Of a run that is shown whole.
END_PIECES = 24  # Of either end of a longer one.
MOST_LETTERS = 600  # Of a text, likewise.


def as_tokens(
  examples: Sequence[Example],
  tokenizer: Tokenizer,
  count: int,
  *,
  colour: bool,
) -> Iterator[str]:
  """A section for each of some examples, as its batch has it."""
  if count:
    yield wrapped(
      f'examples as the model sees them, tokens between {BETWEEN}; the loss is '
      f'of what is {"green" if colour else "marked [[so]]"}'
    )
  for example in evenly(examples, count):
    said = [titled(example.record)]
    for row in token_inspection.rows(example, tokenizer):
      said.append('\n'.join(laid_out(row, colour)))
    yield '\n\n'.join(said)


def as_text(
  records: Sequence[Record], count: int, *, colour: bool
) -> Iterator[str]:
  """A section for each of some records; responses are marked."""
  if count:
    yield wrapped(
      f'examples, their responses {"green" if colour else "marked [[so]]"}'
    )
  for record in evenly(records, count):
    said = [paragraphs(prompt_of(record).text, '', '')]
    marks = (GREEN, PLAIN) if colour else ('[[', ']]')
    said += [paragraphs(text, *marks) for text in responses_of(record)]
    yield '\n\n'.join([titled(record), *filter(None, said)])


def titled(record: Record) -> str:
  """What an example is, and where it came from, in a line across."""
  where = prompt_of(record).where
  title = f'── {kind_of(record).removesuffix("s")} {visible(where)} '
  return title[: columns()].ljust(columns(), '─')


def paragraphs(text: str, before: str, after: str) -> str:
  """A text in lines of the console, marks around it."""
  if not text:
    return ''
  if len(text) > MOST_LETTERS:
    half = MOST_LETTERS // 2
    left = f' … {len(text) - MOST_LETTERS:,} letters … '
    text = text[:half] + left + text[-half:]
  lines = []
  for line in text.splitlines():
    lines += textwrap.wrap(visible(line), columns() - 4) or ['']
  if before == GREEN:
    return '\n'.join(f'{before}{line}{after}' for line in lines)
  return before + '\n'.join(lines) + after


def laid_out(row: Sequence[Span], colour: bool) -> Iterator[str]:
  """The lines of a row of tokens; one ends where a token ends a line."""
  line, width, most = '', 0, columns()
  for text, learnt in cells(row, marked=not colour):
    if width and width + len(text) + 1 > most:
      yield line
      line, width = '', 0
    between = BETWEEN if width else ''
    shown = f'{GREEN}{text}{PLAIN}' if colour and learnt else text
    line, width = line + between + shown, width + len(between) + len(text)
    if text.endswith(LINE_END):
      yield line
      line, width = '', 0
  if width:
    yield line


def cells(row: Sequence[Span], *, marked: bool) -> Iterator[tuple[str, bool]]:
  """(what is shown of a token, whether it is learnt), in the row's order."""
  for run in row:
    shown = [
      part
      for piece in shortened(run.pieces)
      for part in in_parts(visible(piece))
    ]
    if run.learnt and marked:
      shown[0] = '[[' + shown[0]
      shown[-1] += ']]'
    for text in shown:
      yield text, run.learnt


def in_parts(text: str) -> list[str]:
  """A text, cut where it is too long for a line."""
  width = columns() - 4
  return [text[at : at + width] for at in range(0, len(text), width)] or ['']


def shortened(pieces: Sequence[str]) -> list[str]:
  """The pieces of a run, those in the middle counted where they are many."""
  if len(pieces) <= MOST_PIECES:
    return list(pieces)
  left = f'… {len(pieces) - 2 * END_PIECES:,} more …'
  return [*pieces[:END_PIECES], left, *pieces[-END_PIECES:]]
