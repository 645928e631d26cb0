"""What crosses rooms: parameters, state, means, models, records and batches.

Letters: B batch, K candidates of a prompt, P prompt tokens, R response tokens,
T = P + R, V vocabulary, D width, M scores of a response.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

Params = chex.ArrayTree


@flax.struct.dataclass
class Mean:
  """A mean kept as its sum and its weight, so that parts can be added.

  Attributes:
    total: [] weighted sum.
    weight: [] sum of the weights, of the very mask that made `total`.
  """

  total: chex.Array
  weight: chex.Array

  @classmethod
  def of(cls, values: chex.Array, weight: chex.Array | None = None) -> 'Mean':
    """Sums [...] values under [...] weights (or a bool mask; all by default).

    Values of weight 0 may be anything, NaN included: they do not count.
    """
    values = jnp.asarray(values, jnp.float32)
    if weight is None:
      weight = jnp.ones_like(values)
    chex.assert_equal_shape([values, weight])
    weight = weight.astype(jnp.float32)
    counted = jnp.where(weight != 0.0, values, 0.0)
    return cls(jnp.sum(counted * weight), jnp.sum(weight))

  @property
  def value(self) -> chex.Array:
    """The mean; 0 where nothing was counted."""
    empty = self.weight == 0.0
    return jnp.where(
      empty, 0.0, self.total / jnp.where(empty, 1.0, self.weight)
    )

  def __add__(self, other: 'Mean') -> 'Mean':
    return Mean(self.total + other.total, self.weight + other.weight)


Terms = Mapping[str, tuple[chex.Numeric, Mean]]
Metrics = Mapping[str, Mean]


@flax.struct.dataclass
class TrainState:
  """What a run carries on from step to step; a checkpoint is this.

  Attributes:
    step: [] int32, how many updates are done.
    params: what the optimizer moves.
    opt_state: the optimizer's own.
    extra: what a method carries on besides (an adaptive coefficient, running
      moments), or ().
  """

  step: chex.Array
  params: Params
  opt_state: Any
  extra: Any = ()


class LanguageModel(NamedTuple):
  """A policy as pure functions of its parameters.

  Attributes:
    init: key -> params.
    hidden: (params, tokens [B, T], attention_mask [B, T], positions=None,
      segment_ids=None) -> [B, T, D]. Positions come from the mask when not
      given.
    logits: (params, hidden [..., D]) -> [..., V] float32.
    token_logps: (params, hidden [..., D], targets [...], temperature=1.0) ->
      logps [...] in nats, float32; aligned by position.
    token_logps_and_entropies: the same -> (logps [...], entropies [...]).
    prefill: (params, tokens [B, P], attention_mask [B, P], samples,
      max_response) -> (logits [B, V] of the first response token, cache).
    decode_step: (params, cache, tokens [B, K]) -> (logits [B, K, V], cache).
  """

  init: Callable
  hidden: Callable
  logits: Callable
  token_logps: Callable
  token_logps_and_entropies: Callable
  prefill: Callable
  decode_step: Callable


class ScalarModel(NamedTuple):
  """A reward model or a critic as pure functions of its parameters.

  Attributes:
    init: key -> params {'trunk', 'head'}.
    features: (params, tokens [B, T], attention_mask [B, T]) -> [B, D], the
      hidden state of each row's last real token.
    scores: (params, tokens, attention_mask) -> [B, M], read from `features`.
    values: (params, tokens, attention_mask) -> [B, T], the first score read
      after every token.
    head: (params, hidden [..., D]) -> [..., M], the read-out alone, for a
      critic that shares the policy's trunk.
    trunk: policy_params -> the trunk params that start from them.
  """

  init: Callable
  features: Callable
  scores: Callable
  values: Callable
  head: Callable
  trunk: Callable


# Scores [N] of N prompts and their responses, as text, higher is better: a
# program that checks an answer, the sandbox's gold, a judge.
Reward = Callable[[Sequence['Prompt'], Sequence[str]], np.ndarray]

# Samples responses: (policy_params, prompts, key, *, samples, sampling) ->
# Rollouts [B, samples, T]. Ours, or an outside engine.
Sampler = Callable[..., 'Rollouts']

# Scores rollouts, on the host: (frozen, Rollouts [B, K, T]) -> [B, K]. A frozen
# reward model, or a Reward over the decoded text.
Scorer = Callable[..., chex.Array]


class Models(NamedTuple):
  """What a stage computes with, by role; None where it has no such role."""

  policy: LanguageModel | None = None
  reward: ScalarModel | None = None
  critic: ScalarModel | None = None
  sampler: Sampler | None = None
  scorer: Scorer | None = None


class Message(NamedTuple):
  """A turn of a conversation."""

  role: str  # 'user', 'assistant' or 'system'.
  content: str


class Prompt(NamedTuple):
  """What a policy is asked: turns, the last one the user's.

  Attributes:
    messages: the turns, oldest first.
    kind: what results are broken down by, or ''.
    where: file and line it came from, for messages to people, or ''.
  """

  messages: tuple[Message, ...]
  kind: str = ''
  where: str = ''

  @property
  def text(self) -> str:
    """The prompt as a person reads it: the user's words, or all turns."""
    if len(self.messages) == 1:
      return self.messages[0].content
    return '\n'.join(f'{m.role}: {m.content}' for m in self.messages)


class Demonstration(NamedTuple):
  """A prompt and a response to learn from."""

  prompt: Prompt
  response: str


class Comparison(NamedTuple):
  """Responses to one prompt, best first; a pair is chosen, then rejected.

  Attributes:
    prompt: what was asked.
    responses: K texts, best first.
    margin: how clearly the first is better than the second, in reward units.
    scores: K numbers that ranked them, none larger than the one before, in
      reward units; None where only the order is known.
    target: a response to imitate beside ranking these, or None for the best
      of them.
  """

  prompt: Prompt
  responses: tuple[str, ...]
  margin: float = 0.0
  scores: tuple[float, ...] | None = None
  target: str | None = None


def prompt_of(record: Prompt | Demonstration | Comparison) -> Prompt:
  """What a record asks."""
  return record if isinstance(record, Prompt) else record.prompt


@flax.struct.dataclass
class Prompts:
  """Prompts ready to be answered: [B, P], padded on the left.

  Attributes:
    tokens: [B, P] int32.
    attention_mask: [B, P] bool, True on real tokens.
    index: [B] int32, each prompt's place in its dataset; keys are folded
      from it.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  index: chex.Array


@flax.struct.dataclass
class Demonstrations:
  """Prompts with responses to imitate: [B, T], padded on the right.

  Attributes:
    tokens: [B, T] int32.
    attention_mask: [B, T] bool, True on real tokens.
    response_mask: [B, T] bool, True on what is imitated, end-of-text included.
    segment_ids: [B, T] int32, which example of a packed row a token belongs
      to, from 1; None when a row is one example.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  segment_ids: chex.Array | None = None


@flax.struct.dataclass
class Comparisons:
  """K responses to each prompt, best first: [B, K, T], padded on the right.

  Attributes:
    tokens: [B, K, T] int32.
    attention_mask: [B, K, T] bool.
    response_mask: [B, K, T] bool, end-of-text included.
    candidate_mask: [B, K] bool, True on responses; prompts with fewer than K
      have theirs first.
    margins: [B] float32, by how much the first beats the second.
    weight: [B] float32, 0 for a row that only fills the batch.
    scores: [B, K] float32, what ranked them, 0 where there is no response; None
      where only the order is known.
    targets: Demonstrations [B, T] to imitate beside; None for the best of each.
    reference_logps: [B, K] float32, log-probs of the responses under a frozen
      reference, in nats, where they were computed beforehand.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  candidate_mask: chex.Array
  margins: chex.Array
  weight: chex.Array
  scores: chex.Array | None = None
  targets: Demonstrations | None = None
  reference_logps: chex.Array | None = None

  @property
  def pair_weight(self) -> chex.Array:
    """[B] float32 weights of pairs: 0 where there is no second response.

    Raises:
      ValueError: K is not 2.
    """
    if self.tokens.shape[1] != 2:
      raise ValueError(
        f'pairs have two responses and these data have {self.tokens.shape[1]}; '
        'take a method for ranked lists, or make pairs of them first'
      )
    return self.weight * self.candidate_mask[:, 1]


@flax.struct.dataclass
class Rollouts:
  """Sampled responses: [B, K, T], prompt padded left, response right.

  The response starts at column P = T - R of every row.

  Attributes:
    tokens: [B, K, T] int32.
    attention_mask: [B, K, T] bool.
    response_mask: [B, K, T] bool, end-of-text included.
    logps: [B, K, R] float32, log-prob of each sampled token under the policy
      that sampled it, at its temperature, over the whole vocabulary, in nats.
    truncated_logps: [B, K, R] float32, likewise after top-k, top-p and other
      cuts: the law that the token was really drawn from.
    ended: [B, K] bool, True where the response closed with end-of-text.
    index: [B] int32, as in Prompts.
  """

  tokens: chex.Array
  attention_mask: chex.Array
  response_mask: chex.Array
  logps: chex.Array
  truncated_logps: chex.Array
  ended: chex.Array
  index: chex.Array

  @property
  def response_length(self) -> int:
    """R, the number of response columns."""
    return self.logps.shape[-1]

  @property
  def responses(self) -> tuple[chex.Array, chex.Array]:
    """[B, K, R] response tokens and their mask."""
    start = self.tokens.shape[-1] - self.response_length
    return self.tokens[..., start:], self.response_mask[..., start:]


@flax.struct.dataclass
class Experience:
  """Rollouts with what a policy-gradient update needs: [B, K, T] and [B, K, R].

  Attributes:
    rollouts: the samples.
    logps: [B, K, R] log-probs before the update, by the trainer's own pass.
    reference_logps: [B, K, R] log-probs under the frozen reference.
    values: [B, K, R] the critic's before each token; zeros without a critic.
    advantages: [B, K, R] how much better each token was, 0 where masked.
    returns: [B, K, R] the critic's targets, 0 where masked.
  """

  rollouts: Rollouts
  logps: chex.Array
  reference_logps: chex.Array
  values: chex.Array
  advantages: chex.Array
  returns: chex.Array


def flatten_candidates(tree: chex.ArrayTree) -> chex.ArrayTree:
  """Folds the leading [B, K] of every array into [B * K]."""
  return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), tree)
