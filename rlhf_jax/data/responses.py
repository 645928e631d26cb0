"""Responses to ids, and sampled ids to responses."""

from collections.abc import Sequence

from rlhf_jax.data.templates import (
  ChatFormat,
  ChatTemplateError,
  EncodedConversation,
)
from rlhf_jax.data.tokens import Tokenizer, VocabularyError
from rlhf_jax.types import Prompt, Response


def response_ids(
  said: Response, encoded: EncodedConversation, end_id: int
) -> list[int]:
  """Ids of a response: those that were sampled, or else those of its text.

  Closed as the template closes a turn, unless it was cut.
  """
  if said.ids is not None:
    return list(said.ids)
  ids = encoded.response_ids(said)
  return [*ids, end_id] if said.ended else ids


# Ids of a response, the token that closed it included, and whether one did.
Drawn = tuple[Sequence[int], bool]


def decoded(
  sampled: Sequence[tuple[Prompt, Sequence[Drawn]]],
  tokenizer: Tokenizer,
  template: ChatFormat,
) -> list[list[Response]]:
  """The texts of sampled responses, which are encoded as they were sampled.

  Args:
    sampled: prompts, each with the responses to it.
    tokenizer, template: of the ids.
  """
  written = iter(
    tokenizer.decode_all([ids for _, drawn in sampled for ids, _ in drawn])
  )
  asked = [
    (prompt, [Response(next(written), ended=ended) for _, ended in drawn])
    for prompt, drawn in sampled
  ]
  found = template.encode_all(asked, tokenizer)
  end_id = template.end_id(tokenizer)
  return [
    [
      _as_drawn(said, ids, encoded, end_id)
      for said, (ids, _) in zip(texts, drawn, strict=True)
    ]
    for (_, texts), (_, drawn), encoded in zip(
      asked, sampled, found, strict=True
    )
  ]


def _as_drawn(
  said: Response, ids: Sequence[int], encoded: EncodedConversation, end_id: int
) -> Response:
  """A response with the ids that were sampled, where its text gives others."""
  try:
    again = response_ids(said, encoded, end_id)
  except (ChatTemplateError, VocabularyError):
    again = None  # Sampled ids need not be those of any text.
  if again == list(ids):
    return said
  return Response(said, ended=said.ended, ids=ids)
