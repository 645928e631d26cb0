"""A bigram policy whose every response can be listed, and models to go with it.

Words are 0, 1; token 2 ends a response; token 3 pads. The policy is a table of
next-token logits by the token before, so what any learner does to it can be
worked out from sums over all responses.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.feedback import scoring
from rlhf_jax.generation import decode
from rlhf_jax.kernels import distributions
from rlhf_jax.models import BOTTLENECK
from rlhf_jax.types import (
  Comparisons,
  Demonstrations,
  LanguageModel,
  Models,
  Prompts,
  Rollouts,
  Sampler,
  Samples,
  ScalarModel,
  TrainState,
)

WORDS = (0, 1)
EOS, PAD, VOCABULARY = 2, 3, 4
LONGEST = 3  # Response tokens at most.
LONGEST_PROMPT = 3


def _init(key):
  table = jax.random.normal(key, (VOCABULARY, VOCABULARY))
  return {'embedding': table.at[:, PAD].set(-1e9)}


def _hidden(params, tokens, attention_mask, positions=None, segment_ids=None):
  del attention_mask, positions, segment_ids  # One token looks at itself only.
  return params['embedding'][tokens]


def _token_logps(params, hidden, targets, temperature=1.0):
  del params
  return distributions.token_logps(hidden, targets, temperature=temperature)


def _both(params, hidden, targets, temperature=1.0):
  return (
    _token_logps(params, hidden, targets, temperature),
    distributions.entropies(hidden, temperature=temperature),
  )


def _prefill(params, tokens, attention_mask, samples, max_response):
  del attention_mask, samples, max_response
  return params['embedding'][tokens[:, -1]], ()


def _decode_step(params, cache, tokens):
  return params['embedding'][tokens], cache


POLICY = LanguageModel(
  init=_init,
  hidden=_hidden,
  logits=lambda params, hidden: hidden,
  token_logps=_token_logps,
  token_logps_and_entropies=_both,
  load=lambda params: params,
  prefill=_prefill,
  decode_step=_decode_step,
  replace_prompts=lambda cache, other, places: cache,
)


def _scalar_init(key, scores=1):
  weights = jax.random.normal(key, (VOCABULARY, scores))
  return {'trunk': {}, 'head': {'kernel': weights}}


def _features(params, tokens, attention_mask):
  del params
  counts = jax.nn.one_hot(tokens, VOCABULARY) * attention_mask[..., None]
  return jnp.sum(counts, axis=1)


def _head(params, hidden):
  return hidden @ params['head']['kernel']


SCALAR = ScalarModel(
  init=_scalar_init,
  hidden=lambda params, tokens, mask: jax.nn.one_hot(tokens, VOCABULARY),
  features=_features,
  scores=lambda p, tokens, mask: _head(p, _features(p, tokens, mask)),
  values=lambda p, tokens, mask: p['head']['kernel'][tokens, 0],
  head=_head,
  trunk=lambda policy_params: {},
)

MODELS = Models(
  policy=POLICY,
  reward=SCALAR,
  critic=SCALAR,
  sampler=decode.policy_sampler(
    POLICY, max_response=LONGEST, stop_ids=(EOS,), pad_id=PAD
  ),
  scorer=scoring.model_scorer(SCALAR),
  bottleneck=BOTTLENECK,
)


def state(params, **extra) -> TrainState:
  """What a method collects from: params by role, and what it adapts."""
  return TrainState(step=0, params=params, opt_state=(), extra=extra)


def spy(sample) -> Sampler:
  """A sampler of a function, which sees parameters as they are."""
  return Sampler(load=lambda params: params, sample=sample)


def responses() -> list[tuple[int, ...]]:
  """All responses: those that end, and those cut off at LONGEST tokens."""
  found = []
  for length in range(LONGEST):
    found += [
      (*words, EOS) for words in itertools.product(WORDS, repeat=length)
    ]
  return found + list(itertools.product(WORDS, repeat=LONGEST))


def log_probability(table: np.ndarray, prompt, response) -> float:
  """log π(response | prompt) by definition, in float64."""
  return float(np.log(probability(table, prompt, response)))


def probability(table: np.ndarray, prompt, response) -> float:
  """π(response | prompt) by definition, in float64.

  Args:
    table: [V, V] logits of the next token, by the token before.
    prompt: one token, or several.
    response: its tokens.
  """
  before, total = tokens_of(prompt)[-1], 1.0
  for token in response:
    row = np.exp(table[before] - table[before].max())
    total *= row[token] / row.sum()
    before = token
  return total


def tokens_of(prompt) -> tuple[int, ...]:
  """A prompt's tokens, given as one token or as several."""
  return (prompt,) if np.ndim(prompt) == 0 else tuple(prompt)


def all_rollouts(prompt) -> Rollouts:
  """Every response to a prompt of P tokens: [1, K, P + LONGEST]."""
  rows, prompt = responses(), tokens_of(prompt)
  width = len(prompt)
  tokens = np.full((1, len(rows), width + LONGEST), PAD, np.int32)
  mask = np.zeros(tokens.shape, bool)
  tokens[..., :width] = prompt
  for k, row in enumerate(rows):
    tokens[0, k, width : width + len(row)] = row
    mask[0, k, width : width + len(row)] = True
  zeros = np.zeros((1, len(rows), LONGEST), np.float32)
  attention = mask.copy()
  attention[..., :width] = True
  return Rollouts(
    tokens=tokens,
    attention_mask=attention,
    response_mask=mask,
    logps=zeros,
    truncated_logps=zeros,
    ended=np.array([[row[-1] == EOS for row in rows]]),
    index=np.zeros(1, np.int32),
  )


def prompts(count: int = 4) -> Prompts:
  """Prompts of 1, 2, 3, 1, … tokens, padded on the left; the last 0, 1, 0, …"""
  index = np.arange(count, dtype=np.int32)
  lengths = 1 + index % LONGEST_PROMPT
  places = np.arange(LONGEST_PROMPT) - LONGEST_PROMPT
  mask = places >= -lengths[:, None]
  words = (index[:, None] + places + 1) % 2
  return Prompts(
    tokens=np.where(mask, words, PAD).astype(np.int32),
    attention_mask=mask,
    index=index,
  )


def demonstrations(rows: int = 4, seed: int = 0) -> Demonstrations:
  """Random prompts and responses of ragged length."""
  batch = comparisons(rows, seed)
  return Demonstrations(
    tokens=batch.tokens[:, 0],
    attention_mask=batch.attention_mask[:, 0],
    response_mask=batch.response_mask[:, 0],
  )


def comparisons(rows: int = 4, seed: int = 0) -> Comparisons:
  """Random pairs of responses of ragged length, padded on the right."""
  return compared(*_random_lists([2] * rows, seed))


def ranked_lists(counts=(3, 2, 3, 1), seed: int = 0) -> Comparisons:
  """Random lists of as many responses as counted, with falling scores."""
  random = np.random.default_rng(seed)
  scores = np.zeros((len(counts), max(counts)), np.float32)
  for row, count in enumerate(counts):
    scores[row, :count] = -np.sort(-random.normal(size=count))
  return compared(*_random_lists(counts, seed), scores=scores)


def samples(rows: int = 4, count: int = 3, seed: int = 0) -> Samples:
  """Random responses to random prompts, some of them the same."""
  batch = compared(*_random_lists([count] * rows, seed))
  return Samples(
    tokens=batch.tokens,
    attention_mask=batch.attention_mask,
    response_mask=batch.response_mask,
    candidate_mask=batch.candidate_mask,
  )


def compared(heads, lists, **fields) -> Comparisons:
  """Given lists of responses to prompts of up to P tokens: [B, K, P + LONGEST].

  Args:
    heads: B prompts, each a token or a tuple of tokens.
    lists: B lists of responses, each a tuple of tokens; shorter lists leave
      their last rows empty.
    fields: of Comparisons; margins are 0 and weights 1 unless given.
  """
  heads = [tokens_of(head) for head in heads]
  width = max(map(len, heads)) + LONGEST
  shape = (len(heads), max(map(len, lists)), width)
  tokens = np.full(shape, PAD, np.int32)
  mask, attention = np.zeros(shape, bool), np.zeros(shape, bool)
  for row, (head, listed) in enumerate(zip(heads, lists, strict=True)):
    for k, response in enumerate(listed):
      end = len(head) + len(response)
      tokens[row, k, :end] = *head, *response
      mask[row, k, len(head) : end] = True
      attention[row, k, :end] = True
  known = {
    'candidate_mask': attention[..., 0],
    'margins': np.zeros(len(heads), np.float32),
    'weight': np.ones(len(heads), np.float32),
  }
  return Comparisons(
    tokens=tokens,
    attention_mask=attention,
    response_mask=mask,
    **(known | fields),
  )


def _random_lists(counts, seed):
  """Random prompts of ragged length, and as many responses as counted."""
  random = np.random.default_rng(seed)
  listed = responses()
  heads, lists = [], []
  for row, count in enumerate(counts):
    length = LONGEST_PROMPT - row % LONGEST_PROMPT
    heads.append(tuple(random.choice(WORDS, length)))
    picks = random.integers(len(listed), size=count)
    lists.append([listed[pick] for pick in picks])
  return heads, lists
