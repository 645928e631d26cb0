"""Pages as HTML that needs nothing beside it: style, script and plots in it.

Its security policy lets no script run but its own, so that no text of a policy
can; texts are escaped besides.
"""

import base64
import hashlib
import html
import math
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from rlhf_jax.evaluation import side_by_side, tables
from rlhf_jax.evaluation.blocks import (
  Block,
  Folded,
  Heading,
  Image,
  Items,
  Quote,
  Table,
  Text,
)
from rlhf_jax.evaluation.side_by_side import Answers

MOST_EMBEDDED = 6 << 20  # Bytes of plots; more are files beside the page.
MOST_PROMPTS = 200  # With their responses.
MOST_LETTERS = 2_000_000  # Of all prompts and responses.
LONGEST = 3_000  # Letters of a prompt's end, or of a response.
HERE = pathlib.Path(__file__).parent
INLINE = re.compile(
  r'`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*'
  r'|\[(?P<name>[^\]\[]+)\]\((?P<to>[^()\s]+)\)'
)
ELSEWHERE = re.compile(r'(?!https?:)[a-z][a-z0-9+.-]*:|//', re.IGNORECASE)


def page(blocks: Sequence[Block], folder: pathlib.Path) -> str:
  """A whole page.

  Args:
    blocks: what is on it; the first heading of level 1 is its title.
    folder: where its plots are.
  """
  titles = (b.text for b in blocks if isinstance(b, Heading) and b.level == 1)
  style = (HERE / 'report.css').read_text()
  script = (HERE / 'report.js').read_text()
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  policy = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
  )
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{html.escape(next(titles, "Report"))}</title>\n'
    f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n'
    f'<body>\n<main>\n{_Writer(folder).all(blocks)}\n</main>\n'
    f'<script>{script}</script>\n</body>\n</html>\n'
  )


class _Writer:
  """Blocks as HTML, so many bytes of plots among them."""

  def __init__(self, folder: pathlib.Path):
    self._folder, self._left = folder, MOST_EMBEDDED

  def all(self, blocks: Iterable[Block]) -> str:
    return '\n'.join(filter(None, map(self.one, blocks)))

  def one(self, block: Block) -> str:
    match block:
      case Heading(text, level):
        return f'<h{level}>{inline(text)}</h{level}>'
      case Text(text):
        return f'<p>{inline(text)}</p>' if text else ''
      case Items(lines):
        items = ''.join(f'<li>{inline(line)}</li>' for line in lines)
        return f'<ul>{items}</ul>' if items else ''
      case Quote(text):
        return f'<blockquote dir="auto">{html.escape(text)}</blockquote>'
      case Table(rows, left):
        return table(rows, left) if rows else ''
      case Image(file, description):
        return self._image(file, description) if file else ''
      case Folded(title, inner):
        return (
          f'<details><summary>{html.escape(title)}</summary>\n'
          f'{self.all(inner)}\n</details>'
        )
      case Answers():
        return answers(block)
    return self.all(block.blocks())

  def _image(self, file, description):
    name, said = html.escape(file), html.escape(description)
    content = (self._folder / file).read_bytes()
    self._left -= len(content)
    if self._left < 0:
      return f'<p><a href="{name}">{said}</a> (a file beside this page)</p>'
    data = base64.b64encode(content).decode()
    return (
      f'<figure><img alt="{said}" src="data:image/png;base64,{data}"></figure>'
    )


def inline(text: str) -> str:
  """A line of Markdown: code, strong words, and links to files or the web."""
  parts, end = [], 0
  for found in INLINE.finditer(text):
    parts.append(html.escape(text[end : found.start()]))
    code, strong, name, to = found.groups()
    if code:
      parts.append(f'<code>{html.escape(code)}</code>')
    elif strong:
      parts.append(f'<strong>{html.escape(strong)}</strong>')
    elif ELSEWHERE.match(to):
      parts.append(html.escape(found[0]))
    else:
      parts.append(f'<a href="{html.escape(to)}">{html.escape(name)}</a>')
    end = found.end()
  return ''.join([*parts, html.escape(text[end:])])


def table(rows: tables.Table, left: int = 1) -> str:
  """A table that a click on a heading sorts; its first columns are words."""
  head = ''.join(
    f'<th scope="col"{"" if i < left else _NUMBER}>{html.escape(name)}</th>'
    for i, name in enumerate(rows[0])
  )
  body = []
  for first, *cells in rows[1:]:
    others = (
      f'<td{"" if i < left else _NUMBER}>{_cell(text)}</td>'
      for i, text in enumerate(cells, 1)
    )
    row = f'<th scope="row">{_cell(first)}</th>{"".join(others)}'
    body.append(f'<tr>{row}</tr>')
  said = html.escape(rows[0][0])
  return (
    f'<div class="wide" role="region" aria-label="Table: {said}" tabindex="0">'
    f'<table class="sort"><thead><tr>{head}</tr></thead>\n'
    f'<tbody>{"".join(body)}</tbody></table></div>'
  )


def answers(found: Answers) -> str:
  """Prompts with what the foremost policies answered, and filters."""
  rows, whole = found.rows(MOST_PROMPTS), len(found.rows(10**9))
  parts, letters = [], 0
  for row in rows:
    part = _answered(found, row)
    letters += len(part)
    if parts and letters > MOST_LETTERS:
      break
    parts.append(part)
  left_out = []
  if len(parts) < whole:
    left_out.append(f'{len(parts)} of {whole} prompts are here')
  if len(found.names) < len(found.samples):
    left_out.append(
      f'{len(found.names)} of {len(found.samples)} policies, those of the '
      'claims first'
    )
  said = f'<p>{html.escape("; ".join(left_out))}.</p>' if left_out else ''
  return (
    f'{said}<div id="answers" data-shown="{found.shown}">\n{_filters(found)}'
    f'{"".join(parts)}<p><button type="button" id="more" hidden>Show more'
    '</button></p></div>'
  )


def _answered(found: Answers, row: int) -> str:
  """One prompt, and the policies' responses side by side."""
  samples = found.foremost
  prompt = next(iter(samples.values())).prompts[row]
  asked = side_by_side.end_of(prompt.text, LONGEST)
  base = len(samples[found.against].responses[row])
  scores = side_by_side.scores_of(samples)
  cards = []
  for name, policy in samples.items():
    text, verdict = policy.responses[row], found.verdict(name, row)
    longer = (len(text) > base) - (len(text) < base)
    facts = [
      f'{field} {side_by_side.score(policy, field, row)}' for field in scores
    ]
    if not math.isnan(policy.lengths[row]):
      facts.append(f'{policy.lengths[row]:.0f} tokens')
    if not policy.ended[row]:
      facts.append('cut by the limit')
    if verdict:
      facts.append(f'{verdict} against {found.against}')
    shown = html.escape(side_by_side.beginning_of(text, LONGEST))
    cards.append(
      f'<section data-policy="{html.escape(name)}" data-verdict="{verdict}" '
      f'data-long="{longer}"><h4>{html.escape(name)}</h4>'
      f'<p class="facts">{html.escape(" · ".join(facts))}</p>'
      f'<p class="said" dir="auto">{shown}</p></section>'
    )
  kind = html.escape(prompt.kind)
  heading = f'<h3>{kind}</h3>' if kind else ''
  return (
    f'<article data-kind="{kind}">{heading}<blockquote dir="auto">'
    f'{html.escape(asked)}</blockquote><div class="side">{"".join(cards)}'
    '</div></article>\n'
  )


def _filters(found: Answers) -> str:
  """What a reader may ask for; a choice that there is none of is not there."""
  first = next(iter(found.samples.values()))
  kinds = sorted({prompt.kind for prompt in first.prompts})
  others = [name for name in found.names if name != found.against]
  parts = []
  if len(kinds) > 1:
    parts.append(_select('kind', 'Subset', ['', *filter(None, kinds)]))
  if others:
    parts.append(_select('policy', 'Policy', others))
    if any(name in found.credits for name in others):
      verdicts = ['', 'wins', 'loses', 'ties']
      if any(np.isnan(found.credits[n]).any() for n in found.credits):
        verdicts.append('no verdict')
      parts.append(_select('verdict', f'Against {found.against}', verdicts))
    lengths = {'': 'any', '1': 'longer', '-1': 'shorter', '0': 'as long'}
    said = f'Length, to {found.against}'
    parts.append(_select('long', said, lengths, list(lengths.values())))
  parts.append('<label>Words <input type="search" name="words"></label>')
  return (
    '<form class="filters" role="search" aria-label="Which answers are shown" '
    f'hidden>{"".join(parts)}<output role="status"></output></form>\n'
  )


def _select(name, said, values, shown=None):
  options = ''.join(
    f'<option value="{html.escape(v)}">{html.escape(s or "any")}</option>'
    for v, s in zip(values, shown or values, strict=True)
  )
  return (
    f'<label>{html.escape(said)} <select name="{name}">{options}</select>'
    '</label>'
  )


def _cell(text):
  return html.escape(tables.unbroken(text)).strip().replace('\n', '<br>')


_NUMBER = ' class="number"'
