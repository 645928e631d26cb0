"""Texts that are to be judged, and may hold words meant for the judge."""

import json
import re

from rlhf_jax.addressing import hashed

_MARKS = re.compile(
  r'<[|｜][^<>]{0,40}[|｜]>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>'
)


def without_marks(text: str) -> str:
  """The text, a blank in place of each mark of a chat template."""
  return _MARKS.sub(' ', text)


def code(*texts: str) -> str:
  """A code for the lines around texts, which none of them can contain.

  It depends on all of them, so that no text can pretend to have ended.
  """
  return hashed(json.dumps(texts))[:16]
