"""Models, samplers and scorers as functions, by role."""

from collections.abc import Callable
from typing import NamedTuple

import chex

from rlhf_jax.types.batches import Rollouts
from rlhf_jax.types.training import Params


class LanguageModel(NamedTuple):
  """A policy as pure functions of its parameters.

  Ids that are no tokens have logits of −∞ in all of them.

  Attributes:
    init: key -> params.
    hidden: (params, tokens [B, T], attention_mask [B, T], positions=None,
      segment_ids=None) -> [B, T, D]. Positions come from the mask when not
      given.
    logits: (params, hidden [..., D]) -> [..., V] float32.
    token_logps: (params, hidden [..., D], targets [...], temperature=1.0) ->
      logps [...] in nats, float32; aligned by position.
    token_logps_and_entropies: the same -> (logps [...], entropies [...]).
    load: params -> loaded, laid out as `prefill` and `decode_step` read them.
    prefill: (loaded, tokens [B, P], attention_mask [B, P], samples,
      max_response) -> (logits [B, V] of the first response token, cache).
    decode_step: (loaded, cache, tokens [B, K]) -> (logits [B, K, V], cache).
    replace_prompts: (cache, other, places [F]) -> the cache with the F prompts
      of another at these places of its own, with responses yet to be written; a
      place of B or above takes none.
  """

  init: Callable
  hidden: Callable
  logits: Callable
  token_logps: Callable
  token_logps_and_entropies: Callable
  load: Callable
  prefill: Callable
  decode_step: Callable
  replace_prompts: Callable


class ScalarModel(NamedTuple):
  """A reward model or a critic as pure functions of its parameters.

  Attributes:
    init: (key, *, scores=M) -> params {'trunk', 'head'}, whose head says how
      many scores are read; all other functions follow the parameters.
    hidden: (params, tokens [B, T], attention_mask [B, T]) -> [B, T, D], of the
      last layer.
    features: (params, tokens, attention_mask) -> [B, D], what is read of whole
      rows, such as the hidden state of each one's last real token.
    scores: (params, tokens, attention_mask) -> [B, M], read from `features`.
    values: (params, tokens, attention_mask) -> [B, T], the first score read
      after every token.
    head: (params, hidden [..., D]) -> [..., M], the read-out alone, for a
      critic that shares the policy's trunk.
    trunk: policy_params -> the trunk params that start from them.
  """

  init: Callable
  hidden: Callable
  features: Callable
  scores: Callable
  values: Callable
  head: Callable
  trunk: Callable


class Bottleneck(NamedTuple):
  """Encoder and critic of a multi-view bottleneck, as pure functions.

  Attributes:
    init: (key, *, width, latent, hidden, critic_hidden, critic_inputs,
      deviation_bias) -> params {'mean', 'deviation', 'critic'}.
    encode: (params, features [..., D]) -> (means [..., d], raw deviations
      [..., d]), float32.
    scores: (params, left [N, a], right [M, b]) -> [N, M] float32, the critic
      of every pair.
    symmetric_scores: (params, left [N, a], right [M, a]) -> [N, M], the mean
      of both orders.
  """

  init: Callable
  encode: Callable
  scores: Callable
  symmetric_scores: Callable


class Sampler(NamedTuple):
  """What samples responses: our own decoding, or an outside engine.

  Called, it loads parameters and samples from them once.

  Attributes:
    load: policy params -> loaded, once for all that is sampled from them.
    sample: (loaded, prompts, key, *, samples, sampling) ->
      Rollouts [B, samples, T]. Given `at_a_time` too, it writes to so many
      prompts side by side, at most, which changes no sample but by rounding.
  """

  load: Callable
  sample: Callable[..., Rollouts]

  def __call__(self, params: Params, *given, **options) -> Rollouts:
    """What `sample` gives of parameters as they are trained."""
    return self.sample(self.load(params), *given, **options)


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
  bottleneck: Bottleneck | None = None
