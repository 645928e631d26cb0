"""How long prompts and responses may be, and how longer prompts are cut.

A function `Overlong` takes the prompt's parts, the limit in tokens and where
the prompt comes from. It returns the parts to keep, or None to drop the record.
"""

import dataclasses
from collections.abc import Callable
from typing import NoReturn

from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.templates import PromptParts
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

Overlong = Callable[[PromptParts, int, str], PromptParts | None]


def refuse(parts: PromptParts, limit: int, where: str) -> NoReturn:
  """A longer prompt is an error."""
  raise DataError(
    f'{where}: the prompt has {len(parts.ids)} tokens and the limit is '
    f'{limit}; raise max_prompt_tokens, or set overlong to limits.keep_end, '
    'limits.keep_start or limits.drop.'
  )


def drop(parts: PromptParts, limit: int, where: str) -> None:
  """The record of a longer prompt is left out."""
  del parts, limit, where


def keep_end(parts: PromptParts, limit: int, where: str) -> PromptParts:
  """Drops the oldest turns, and the start of the oldest one that is left.

  The system's turn stays, and so do the markers of every turn that is left.
  """
  whole = parts
  # A template may open the shorter conversation with more tokens: count again.
  while count := _forgotten(parts, limit):
    parts = parts.without_oldest(count)
  oldest, *others = parts.turns
  content, excess = oldest.content, _excess(parts, limit)
  cut = _affordable(max(excess, 0), len(content), whole, limit, where)
  kept = oldest._replace(content=content[cut:])
  return parts._replace(turns=(kept, *others))


def keep_start(parts: PromptParts, limit: int, where: str) -> PromptParts:
  """Cuts the end of the last turn's content; meant for prompts of one turn."""
  *earlier, last = parts.turns
  excess = _excess(parts, limit)
  cut = _affordable(excess, len(last.content), parts, limit, where)
  kept = last._replace(content=last.content[: len(last.content) - cut])
  return parts._replace(turns=(*earlier, kept))


def _forgotten(parts: PromptParts, limit: int) -> int:
  """How many of the oldest turns have to be dropped whole."""
  excess, count = _excess(parts, limit), 0
  for turn in parts.turns[:-1]:
    if excess < max(1, len(turn.content)):
      break
    excess -= len(turn.ids)
    count += 1
  return count


def _excess(parts: PromptParts, limit: int) -> int:
  return len(parts.ids) - limit


def _affordable(
  cut: int, content: int, parts: PromptParts, limit: int, where: str
) -> int:
  """`cut`, the tokens to cut from a turn's content; refused if none is left."""
  if cut > 0 and cut >= content:
    raise DataError(
      f'{where}: the limit of {limit} tokens leaves no room for a word of '
      f'this prompt of {len(parts.ids)}; raise max_prompt_tokens, or set '
      'overlong to limits.drop.'
    )
  return cut


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Limits:
  """Lengths in tokens.

  Attributes:
    max_prompt_tokens: of a prompt, its markers included.
    max_response_tokens: of a response, its end-of-text included. A longer one
      is cut at its end and not closed: it did not end there.
    overlong: how a longer prompt is cut, or that it is dropped or refused.
    buckets: lengths below the limits that a batch may be padded to: to the
      smallest that holds its longest row. A run compiles its functions once for
      each that occurs.
  """

  max_prompt_tokens: Count
  max_response_tokens: Count
  overlong: Overlong = refuse
  buckets: tuple[Count, ...] = ()

  def prompt_columns(self, longest: int) -> int:
    """P for a batch whose longest prompt has `longest` tokens."""
    return self._padded(longest, self.max_prompt_tokens)

  def columns(self, longest: int) -> int:
    """T for a batch whose longest prompt and response have `longest` tokens."""
    return self._padded(
      longest, self.max_prompt_tokens + self.max_response_tokens
    )

  def _padded(self, longest: int, most: int) -> int:
    if longest > most:
      raise DataError(
        f'an example has {longest} tokens and the limits allow {most}; encode '
        'it under the limits that it is batched with.'
      )
    return min(b for b in (*self.buckets, most) if longest <= b)


def columns_of(longest: int) -> int:
  """Columns for texts of which the longest has so many tokens.

  Multiples of 32, and from 256 on four sizes to a doubling, so that few
  programs are compiled.
  """
  step = max(32, (1 << longest.bit_length()) >> 3)
  return -(-longest // step) * step
