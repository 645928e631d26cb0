"""Many texts encoded in one call, each once."""

from collections.abc import Iterable, Sequence

from rlhf_jax.data.tokenizer import Tokenizer, VocabularyError


class Encodings(dict[str, list[int]]):
  """Ids by text; nobody changes them.

  What could not be encoded raises its VocabularyError where it is asked for.
  """

  def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]):
    """Encodes texts; marks by their secret names."""
    super().__init__()
    self._tokenizer = tokenizer
    self._errors: dict[str, Exception] = {}
    distinct = list(dict.fromkeys(texts))
    try:
      self.update(zip(distinct, tokenizer.encode_all(distinct), strict=True))
    except Exception:  # Of which of them, the library does not say.
      for text in distinct:
        try:
          self[text] = tokenizer.encoding(text).ids
        except VocabularyError as error:
          self._errors[text] = error

  def __missing__(self, text: str) -> list[int]:
    raise self._errors[text]

  def refuse(self, text: str, error: Exception) -> None:
    """Raises an error where one of the texts is asked for."""
    del self[text]
    self._errors[text] = error

  def offsets(self, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Where each token begins and ends in these texts one after the other."""
    begin, found = 0, []
    for text in texts:
      offsets = self._tokenizer.encoding(text).offsets
      found += [(begin + a, begin + b) for a, b in offsets]
      begin += len(text)
    return found
