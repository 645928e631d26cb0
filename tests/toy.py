"""A bigram policy whose every response can be listed, and models to go with it.

Words are 0, 1; token 2 ends a response; token 3 pads. The policy is a table of
next-token logits by the token before, so what any learner does to it can be
worked out from sums over all responses.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import rollouts as generation
from rlhf_jax.kernels import logps
from rlhf_jax.types import (
  Comparisons,
  Demonstrations,
  LanguageModel,
  Models,
  Prompts,
  Rollouts,
  ScalarModel,
)

WORDS = (0, 1)
EOS, PAD, VOCABULARY = 2, 3, 4
LONGEST = 3  # Response tokens at most.


def _init(key):
  table = jax.random.normal(key, (VOCABULARY, VOCABULARY))
  return {'embedding': table.at[:, PAD].set(-1e9)}


def _hidden(params, tokens, attention_mask, positions=None, segment_ids=None):
  del attention_mask, positions, segment_ids  # One token looks at itself only.
  return params['embedding'][tokens]


def _token_logps(params, hidden, targets, temperature=1.0):
  del params
  return logps.token_logps(hidden, targets, temperature=temperature)


def _both(params, hidden, targets, temperature=1.0):
  return (
    _token_logps(params, hidden, targets, temperature),
    logps.entropies(hidden, temperature=temperature),
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
  prefill=_prefill,
  decode_step=_decode_step,
)


def _scalar_init(key):
  weights = jax.random.normal(key, (VOCABULARY, 1))
  return {'trunk': {}, 'head': {'kernel': weights}}


def _features(params, tokens, attention_mask):
  del params
  counts = jax.nn.one_hot(tokens, VOCABULARY) * attention_mask[..., None]
  return jnp.sum(counts, axis=1)


def _head(params, hidden):
  return hidden @ params['head']['kernel']


SCALAR = ScalarModel(
  init=_scalar_init,
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
  sampler=generation.policy_sampler(
    POLICY, max_response=LONGEST, stop_ids=(EOS,), pad_id=PAD
  ),
  scorer=generation.model_scorer(SCALAR),
)


def responses() -> list[tuple[int, ...]]:
  """All responses: those that end, and those cut off at LONGEST tokens."""
  found = []
  for length in range(LONGEST):
    found += [
      (*words, EOS) for words in itertools.product(WORDS, repeat=length)
    ]
  return found + list(itertools.product(WORDS, repeat=LONGEST))


def probability(table: np.ndarray, prompt: int, response) -> float:
  """π(response | prompt) by definition, in float64."""
  before, total = prompt, 1.0
  for token in response:
    row = np.exp(table[before] - table[before].max())
    total *= row[token] / row.sum()
    before = token
  return total


def all_rollouts(prompt: int) -> Rollouts:
  """Every response to a one-token prompt: [1, K, 1 + LONGEST]."""
  rows = responses()
  tokens = np.full((1, len(rows), 1 + LONGEST), PAD, np.int32)
  mask = np.zeros(tokens.shape, bool)
  tokens[..., 0] = prompt
  for k, row in enumerate(rows):
    tokens[0, k, 1 : 1 + len(row)] = row
    mask[0, k, 1 : 1 + len(row)] = True
  zeros = np.zeros((1, len(rows), LONGEST), np.float32)
  attention = mask.copy()
  attention[..., 0] = True
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
  """One-token prompts 0, 1, 0, 1, …"""
  index = np.arange(count, dtype=np.int32)
  return Prompts(
    tokens=(index % 2)[:, None],
    attention_mask=np.ones((count, 1), bool),
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
  random = np.random.default_rng(seed)
  listed = responses()
  tokens = np.full((rows, 2, 1 + LONGEST), PAD, np.int32)
  mask = np.zeros(tokens.shape, bool)
  for row in range(rows):
    tokens[row, :, 0] = random.choice(WORDS)
    for k in range(2):
      response = listed[random.integers(len(listed))]
      tokens[row, k, 1 : 1 + len(response)] = response
      mask[row, k, 1 : 1 + len(response)] = True
  attention = mask.copy()
  attention[..., 0] = True
  return Comparisons(
    tokens=tokens,
    attention_mask=attention,
    response_mask=mask,
    margins=np.zeros(rows, np.float32),
    weight=np.ones(rows, np.float32),
  )
