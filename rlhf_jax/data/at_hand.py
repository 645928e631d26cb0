"""Batches of rows at hand, in a notebook say: no files, no experiment."""

from collections.abc import Iterable, Mapping
from typing import Any

from rlhf_jax.data import chat_templates, encoding, jsonl
from rlhf_jax.data.collation import collate
from rlhf_jax.data.formats.finding import FORMATS, compared, demonstrated
from rlhf_jax.data.formats.format import stream_of
from rlhf_jax.data.limits import Limits, keep_end
from rlhf_jax.data.readers import Then, collected
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.types import Comparisons, Demonstrations, Prompt, Prompts, Record

LIMITS = Limits(
  max_prompt_tokens=512,
  max_response_tokens=512,
  overlong=keep_end,
  buckets=tuple(2**n for n in range(4, 10)),
)


def comparisons(
  rows: Iterable[Mapping[str, Any] | Record],
  tokenizer: Tokenizer,
  *,
  limits: Limits = LIMITS,
) -> Comparisons:
  """A batch [B, K, T] of preferences, the best response of each first.

  Args:
    rows: of any format of `data.formats`, as {'prompt': …, 'chosen': …,
      'rejected': …}, a prompt a text or a list of messages; or records.
    tokenizer: whose chat template is followed, if it has one.
    limits: how long prompts and responses may be.

  Raises:
    DataError: a row is of no format that compares, or nothing is left of them.
  """
  return _batch(_records(rows, compared), tokenizer, limits)


def demonstrations(
  rows: Iterable[Mapping[str, Any] | Record],
  tokenizer: Tokenizer,
  *,
  limits: Limits = LIMITS,
) -> Demonstrations:
  """A batch [B, T] of responses to imitate; arguments as of `comparisons`."""
  return _batch(_records(rows, demonstrated), tokenizer, limits)


def prompts(
  asked: Iterable[str | Iterable[Mapping[str, str]] | Prompt],
  tokenizer: Tokenizer,
  *,
  limits: Limits = LIMITS,
) -> Prompts:
  """A batch [B, P] of the prompts of `prompt_records`."""
  return _batch(prompt_records(asked), tokenizer, limits)


def prompt_records(
  asked: Iterable[str | Iterable[Mapping[str, str]] | Prompt],
) -> list[Prompt]:
  """Prompts as records.

  Args:
    asked: texts by a user, lists of messages {'role', 'content'}, or records.

  Raises:
    DataError: one is none of these, or is empty.
  """
  asked = list(asked)
  if asked and isinstance(asked[0], Prompt):
    return asked
  rows = [{'prompt': x if isinstance(x, str) else list(x)} for x in asked]
  found = _records(rows, iter)
  if len(found) < len(rows):
    raise jsonl.DataError(f'{"; ".join(found.notes)}; give prompts that ask.')
  return found


def _records(rows, change) -> list[Record]:
  rows = list(rows)
  if not rows:
    raise jsonl.DataError('there are no rows to make a batch of; give some.')
  if not isinstance(rows[0], Mapping):
    return rows
  found = (jsonl.Row(f'row {i}', dict(row)) for i, row in enumerate(rows))
  return collected(Then(stream_of(found, 'rows', FORMATS), change))


def _batch(records, tokenizer, limits):
  template = chat_templates.of(tokenizer)
  examples, _ = encoding.encode(records, tokenizer, template, limits)
  return collate(examples, pad_id=tokenizer.pad_id, limits=limits)
