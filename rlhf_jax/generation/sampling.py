"""Settings of sampling: transforms of the logits, and how a token is drawn.

Every transform maps logits [..., V] to logits [..., V] with −inf where a token
is removed; at least one token always stays. Their order and their treatment of
ties are those of the `generate` function of Hugging Face transformers.
"""

import dataclasses
from typing import Annotated

import chex
import flax.struct
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import cuts, draws
from rlhf_jax.types import values
from rlhf_jax.types.rules import (
  COUNTED,
  Count,
  Positive,
  Range,
  Share,
  ShareAboveZero,
  ShareBetween,
)

# How many candidates top-k looks at when no bound is given.
DEFAULT_TOP_K_BOUND = 128
AT_LEAST_ONE = Range(at_least=1, below=COUNTED)
AT_LEAST_ZERO = Range(at_least=0, below=COUNTED)


@flax.struct.dataclass
class Sampling:
  """Which transforms run, and their values.

  None means that the transform does not run, which is known when a program is
  compiled; the values themselves are traced, so changing one compiles nothing.

  Attributes:
    temperature: > 0, divides the logits; 1 when None.
    top_k: ≥ 1, keep the k most likely tokens, and all tied with the last.
    top_p: (0, 1], keep the fewest most likely tokens that reach this mass.
    min_p: [0, 1], keep tokens at least this fraction as likely as the best.
    typical_p: (0, 1), keep the tokens whose surprise is nearest the entropy,
      as many as reach this mass.
    epsilon: [0, 1), keep tokens at least this likely.
    eta: (0, 1), keep tokens as likely as min(η, √η exp(−entropy)).
    repetition_penalty: > 0, weakens tokens seen before where above 1.
    min_new_tokens: ≥ 0, no stop id before so many response tokens.
    min_tokens_to_keep: no cut leaves fewer tokens than this.
    top_k_bound: how many candidates a step sorts at most, top-p and typical
      included. None: 128 where top-k runs, else the vocabulary.
    draw: how a token is drawn.
  """

  temperature: Positive | None = None
  top_k: Annotated[int | chex.Array, AT_LEAST_ONE] | None = None
  top_p: ShareAboveZero | None = None
  min_p: Share | None = None
  typical_p: ShareBetween | None = None
  epsilon: Annotated[chex.Numeric, Range(at_least=0.0, below=1.0)] | None = None
  eta: ShareBetween | None = None
  repetition_penalty: Positive | None = None
  min_new_tokens: Annotated[int | chex.Array, AT_LEAST_ZERO] | None = None
  min_tokens_to_keep: Count = flax.struct.field(pytree_node=False, default=1)
  top_k_bound: Count | None = flax.struct.field(pytree_node=False, default=None)
  draw: draws.Draw = flax.struct.field(
    pytree_node=False, default=draws.inverse_cdf
  )

  def __post_init__(self):
    # As a pytree it may hold anything else.
    for name, hint in values.hints(type(self)).items():
      value = getattr(self, name)
      plain = isinstance(value, int | float | str | np.number)
      if not (plain or callable(value)):
        continue
      for place, complaint in values.complaints(value, hint):
        raise values.ValueRuleError(name + place, complaint, owner='sampling')
      # Plain numbers get one dtype here: jit would compile 1 and 1.0 apart.
      if name not in STATIC:
        dtype = np.int32 if name in INTEGERS else np.float32
        object.__setattr__(self, name, dtype(value))
    bound = self.top_k_bound or DEFAULT_TOP_K_BOUND
    if isinstance(self.top_k, np.number) and self.top_k > bound:
      raise ValueError(
        f'top_k {self.top_k} is above the {bound} candidates that a step '
        f'sorts; pass top_k_bound={self.top_k} or more.'
      )

  @property
  def draws_from_softmax(self) -> bool:
    """Whether tokens come from the whole softmax at the temperature; static."""
    others = (f.name for f in dataclasses.fields(self))
    others = [n for n in others if n not in (*STATIC, 'temperature')]
    uncut = all(getattr(self, name) is None for name in others)
    return uncut and self.draw in draws.FROM_SOFTMAX

  def sorted_candidates(self, vocabulary: int) -> int:
    """How many of the tokens a step sorts; static."""
    if self.top_k_bound is not None:
      return min(self.top_k_bound, vocabulary)
    if self.top_k is not None:
      return min(DEFAULT_TOP_K_BOUND, vocabulary)
    return vocabulary


STATIC = ('min_tokens_to_keep', 'top_k_bound', 'draw')
INTEGERS = ('top_k', 'min_new_tokens')  # Of the traced values.


@dataclasses.dataclass(frozen=True, kw_only=True)
@values.checked
class PerPrompt:
  """How many responses are drawn to each prompt, and how.

  Attributes:
    samples: responses to each prompt.
    count: prompts; None takes each of the data's once.
    batch_size: prompts at a time.
    sampling: of the responses.
  """

  samples: Count
  count: Count | None = None
  batch_size: Count = 256
  sampling: Sampling = Sampling(temperature=1.0)


def transform(
  logits: chex.Array,
  sampling: Sampling,
  *,
  seen: chex.Array | None = None,
  step: chex.Numeric = 0,
  stop_ids: tuple[int, ...] = (),
) -> chex.Array:
  """Applies the transforms that `sampling` names.

  In the order of the published generator: repetition penalty, minimum length,
  temperature, top-k, top-p, min-p, typical, epsilon, eta.

  Args:
    logits: [..., V] float, unscaled.
    sampling: which transforms run, and their values.
    seen: [..., V] bool, tokens of the prompt and of the response so far; only
      the repetition penalty reads it, and needs it.
    step: how many response tokens have been written, of all or of each: [...,
      1].
    stop_ids: tokens that end a response.

  Returns:
    [..., V] float32 logits, −inf where a token is removed, not normalised.
  """
  chex.assert_type(logits, float)
  logits = logits.astype(jnp.float32)
  keep = sampling.min_tokens_to_keep
  bound = max(sampling.sorted_candidates(logits.shape[-1]), keep)
  bound = min(bound, logits.shape[-1])
  if sampling.repetition_penalty is not None:
    if seen is None:
      raise ValueError('the repetition penalty needs the tokens seen so far.')
    logits = cuts.penalise_repetition(logits, seen, sampling.repetition_penalty)
  if sampling.min_new_tokens is not None:
    logits = cuts.delay_stop(logits, step, sampling.min_new_tokens, stop_ids)
  if sampling.temperature is not None:
    logits = logits / sampling.temperature
  if sampling.top_k is not None:
    logits = cuts.cut_top_k(
      logits, jnp.maximum(sampling.top_k, keep), bound=bound
    )
  if sampling.top_p is not None:
    logits = cuts.cut_top_p(logits, sampling.top_p, bound=bound, keep=keep)
  if sampling.min_p is not None:
    logits = cuts.cut_min_p(logits, sampling.min_p, keep=keep)
  if sampling.typical_p is not None:
    logits = cuts.cut_typical(
      logits, sampling.typical_p, bound=bound, keep=keep
    )
  if sampling.epsilon is not None:
    logits = cuts.cut_epsilon(logits, sampling.epsilon, keep=keep)
  if sampling.eta is not None:
    logits = cuts.cut_eta(logits, sampling.eta, keep=keep)
  return logits
