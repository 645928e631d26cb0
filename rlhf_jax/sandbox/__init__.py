"""A small world whose truth is known."""

from rlhf_jax.sandbox.annotators import Annotator
from rlhf_jax.sandbox.authors import DEMONSTRATOR, MEDIUM, STRONG, WEAK, Author
from rlhf_jax.sandbox.gold import attributes, gold
from rlhf_jax.sandbox.world import (
  MAX_RESPONSE_TOKENS,
  World,
  max_prompt_tokens,
  tokenizer,
)

__all__ = [
  'DEMONSTRATOR',
  'MAX_RESPONSE_TOKENS',
  'MEDIUM',
  'STRONG',
  'WEAK',
  'Annotator',
  'Author',
  'World',
  'attributes',
  'gold',
  'max_prompt_tokens',
  'tokenizer',
]
