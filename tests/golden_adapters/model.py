"""Models of transformers, read from their folders."""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.generation import decode, draws
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import distributions
from rlhf_jax.models import (
  TransformerConfig,
  attention,
  huggingface,
  language_model,
  layers,
  policy,
  scalar_model,
  transformer,
)
from rlhf_jax.types import Prompts
from tests.golden_adapters.cases import Omitted

Arrays = Mapping[str, np.ndarray]


def causal_lm(folder: pathlib.Path, inputs: Arrays, **params: Any) -> dict:
  """Logits, log-probs, hidden states, and what is said greedily."""
  config, weights = huggingface.read(folder)
  model = language_model(config)
  out = {}
  read = jax.jit(functools.partial(_read, model))
  for side in ('left', 'right'):
    tokens, mask = _rows(inputs, side)
    found = read(weights, tokens, mask)
    out |= {f'{name}_{side}': values for name, values in found.items()}
  real = mask[:, 1:] & mask[:, :-1]
  logps = out['token_logps_right']
  out['nll'] = -jnp.mean(logps, where=real)
  states = jax.jit(functools.partial(_hidden_states, config))
  out['hidden_states_row0'] = states(weights, tokens[:1], mask[:1])
  say = functools.partial(_greedy, model, weights, inputs, params)
  out['greedy_tokens'] = say(())
  out['greedy_tokens_eos'] = say((params['eos_token_id_for_greedy_eos'],))
  out['logits_left_default_positions'] = Omitted(
    'of padding counted as tokens, which no mask here does'
  )
  return out


def reward(folder: pathlib.Path, inputs: Arrays, **params: Any) -> dict:
  """Scores of whole rows."""
  config, weights = huggingface.read(folder)
  scores = jax.jit(scalar_model(config).scores)
  return {
    f'scores_{side}': scores(weights, *_rows(inputs, side))[:, 0]
    for side in ('right', 'left')
  }


def _rows(inputs, side):
  tokens = np.asarray(inputs[f'input_ids_{side}'], np.int32)
  return tokens, np.asarray(inputs[f'attention_mask_{side}'], bool)


def _read(model, weights, tokens, mask):
  logits = model.logits(weights, model.hidden(weights, tokens, mask))
  logps = distributions.token_logps(logits[:, :-1], tokens[:, 1:])
  real = mask[:, 1:] & mask[:, :-1]
  return {
    'logits': jnp.where(mask[..., None], logits, 0.0),
    'token_logps': jnp.where(real, logps, 0.0),
  }


def _hidden_states(config: TransformerConfig, weights, tokens, mask):
  """[layers + 1, T, D] the residual stream of a row, the last one normed."""
  positions = attention.positions_from_mask(mask)
  module = layers.Transformer(config)
  loaded = policy.load(config, weights)
  sights = attention.sights(config, positions)
  attend = transformer.attend_within(config, mask)
  variables = {'params': loaded}
  x = module.apply(variables, tokens, positions, method='embed')
  found = [x]
  for own, kind in zip(loaded['layers'], config.sight_of_layer, strict=True):
    x, _ = layers.Block(config).apply({'params': own}, x, sights[kind], attend)
    found.append(x)
  found[-1] = module.apply(variables, x, method='finish')
  return jnp.concatenate(found)


def _greedy(model, weights, inputs, params, stop_ids):
  prompts = np.asarray(inputs['prompt_ids'], np.int32)
  mask = np.asarray(inputs['prompt_mask'], bool)
  rollouts = decode.sample(
    model,
    weights,
    Prompts(prompts, mask, np.arange(len(prompts))),
    jax.random.key(0),
    samples=1,
    max_response=params['max_new_tokens'],
    sampling=Sampling(temperature=None, draw=draws.greedy),
    stop_ids=stop_ids,
    pad_id=params['pad_token_id'],
  )
  return rollouts.tokens[:, 0, prompts.shape[1] :]


# By kind: (folder, inputs, **params) -> outputs.
MODELS = {'model.causal_lm': causal_lm, 'model.reward': reward}
