"""Records to ids, once, within limits; what was cut or left out is counted."""

from collections.abc import Iterable
from typing import NamedTuple

from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.templates import Template
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.types import Comparison, Demonstration, Prompt


class Example(NamedTuple):
  """A record with its ids.

  Attributes:
    prompt: the record's.
    prompt_ids: up to where the response begins.
    response_ids: none of a prompt, one of a demonstration, K of a comparison;
      each closed by end-of-text unless it was cut.
    index: the record's place in its dataset.
    margin: the comparison's.
  """

  prompt: Prompt
  prompt_ids: list[int]
  response_ids: tuple[list[int], ...]
  index: int
  margin: float = 0.0

  @property
  def length(self) -> int:
    """Tokens of the prompt and its longest response."""
    longest = max(map(len, self.response_ids), default=0)
    return len(self.prompt_ids) + longest


class Counts(NamedTuple):
  """What the limits did to a dataset; `_asdict()` is ready to be logged."""

  truncated_prompts: int
  dropped_prompts: int
  truncated_responses: int


def encode(
  records: Iterable[Prompt | Demonstration | Comparison],
  tokenizer: Tokenizer,
  template: Template,
  limits: Limits,
) -> tuple[list[Example], Counts]:
  """Encodes a dataset.

  Args:
    records: of any one kind.
    limits: what `overlong` drops is missing from the examples, whose `index`
      goes on counting records.

  Returns:
    Examples in the records' order, and what was cut or dropped.

  Raises:
    DataError: a prompt without tokens, or one that `overlong` refuses.
  """
  examples: list[Example] = []
  truncated_prompts = dropped_prompts = truncated_responses = 0
  for index, record in enumerate(records):
    prompt, responses, margin = _taken_apart(record)
    where = prompt.where or f'record {index} ({prompt.text[:40]!r})'
    parts = template.parts(prompt, tokenizer)
    if not parts.ids:
      raise DataError(f'{where}: the prompt has no tokens; give it a text.')
    if len(parts.ids) > limits.max_prompt_tokens:
      parts = limits.overlong(parts, limits.max_prompt_tokens, where)
      truncated_prompts += parts is not None
      dropped_prompts += parts is None
    if parts is None:
      continue
    whole = [tokenizer.encode(r) + [tokenizer.eos_id] for r in responses]
    kept = tuple(ids[: limits.max_response_tokens] for ids in whole)
    truncated_responses += sum(
      len(r) > limits.max_response_tokens for r in whole
    )
    examples.append(Example(prompt, parts.ids, kept, index, margin))
  return examples, Counts(
    truncated_prompts, dropped_prompts, truncated_responses
  )


def _taken_apart(
  record: Prompt | Demonstration | Comparison,
) -> tuple[Prompt, tuple[str, ...], float]:
  """A record's prompt, responses and margin."""
  match record:
    case Demonstration(prompt, response):
      return prompt, (response,), 0.0
    case Comparison(prompt, responses, margin):
      return prompt, responses, margin
  return record, (), 0.0
