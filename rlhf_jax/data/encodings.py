"""Many texts encoded in one call, each once."""

from collections.abc import Iterable, Sequence

from tokenizers import Encoding

from rlhf_jax.data.tokenizer import Tokenizer, VocabularyError


class Encodings(dict[str, list[int]]):
  """Ids by text, found when they are first asked for; nobody changes them.

  What could not be encoded raises its VocabularyError then.
  """

  def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]):
    """Encodes texts; marks by their secret names."""
    super().__init__()
    distinct = list(dict.fromkeys(texts))
    found = tokenizer.encodings(distinct)
    self._found = dict(zip(distinct, found, strict=True))

  def __missing__(self, text: str) -> list[int]:
    ids = self[text] = self._of(text).ids
    return ids

  def offsets(self, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Where each token begins and ends in these texts one after the other."""
    begin, found = 0, []
    for text in texts:
      found += [(begin + a, begin + b) for a, b in self._of(text).offsets]
      begin += len(text)
    return found

  def _of(self, text: str) -> Encoding:
    found = self._found[text]
    if isinstance(found, VocabularyError):
      raise found
    return found
