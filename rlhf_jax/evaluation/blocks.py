"""What a page is made of, whatever it is written as; and it as Markdown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from rlhf_jax.evaluation import tables


class Heading(NamedTuple):
  """A heading; the page's own has level 1."""

  text: str
  level: int = 2


class Text(NamedTuple):
  """A paragraph, with Markdown's `code`, **words** and [links](to.md)."""

  text: str


class Items(NamedTuple):
  """Lines one below the other, each as of Text."""

  lines: Sequence[str]


class Quote(NamedTuple):
  """What somebody said, line by line, as it is."""

  text: str


class Table(NamedTuple):
  """Rows of cells, the header first; the first `left` columns are words."""

  rows: tables.Table
  left: int = 1


class Image(NamedTuple):
  """A file beside the page; '' where there is none."""

  file: str | None
  description: str


class Folded(NamedTuple):
  """What a reader unfolds."""

  title: str
  blocks: Sequence['Block']


class Composed(Protocol):
  """What is made of other blocks where a page can do no more."""

  def blocks(self) -> Sequence['Block']:
    """The other blocks."""


Block = Heading | Text | Items | Quote | Table | Image | Folded | Composed


def markdown(blocks: Iterable[Block]) -> str:
  """A page as Markdown."""
  return _joined(blocks) + '\n'


def _joined(blocks):
  parts = map(_markdown, blocks)
  return '\n\n'.join(part for part in parts if part)


def _markdown(block: Block) -> str:
  match block:
    case Heading(text, level):
      return f'{"#" * level} {text}'
    case Text(text):
      return text
    case Items(lines):
      return '\n'.join(f'- {line}' for line in lines)
    case Quote(text):
      # Two spaces at its end keep a line apart from the next one.
      return '  \n'.join(f'> {tables.cell(x)}' for x in text.splitlines())
    case Table(rows, left):
      return tables.markdown(rows, left=left) if rows else ''
    case Image(file, description):
      return f'![{description}]({file})' if file else ''
    case Folded(title, inner):
      return (
        f'<details><summary>{tables.cell(title)}</summary>\n\n'
        f'{_joined(inner)}\n\n</details>'
      )
  return _joined(block.blocks())
