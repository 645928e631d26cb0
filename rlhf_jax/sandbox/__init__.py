"""A small world whose truth is known; README.md describes it."""

from rlhf_jax.sandbox.annotators import Annotator
from rlhf_jax.sandbox.authors import (
  DEMONSTRATOR,
  MEDIUM,
  STRONG,
  WEAK,
  Author,
  compose,
)
from rlhf_jax.sandbox.gold import Attributes, attributes, gold
from rlhf_jax.sandbox.grammar import (
  Parts,
  answer_given,
  parse,
  restated,
  stated,
)
from rlhf_jax.sandbox.questions import KINDS, prompts, read
from rlhf_jax.sandbox.sample_pairs import (
  is_right,
  minimal_pairs,
  right_on_wrong,
)
from rlhf_jax.sandbox.verdicts import VERDICT_WORDS
from rlhf_jax.sandbox.world import (
  CONDITION_WORDS,
  MAX_RESPONSE_TOKENS,
  World,
  max_prompt_tokens,
  spell,
  tokenizer,
  vocabulary,
)
