"""GGUF, llama.cpp's one file of a model, as a folder of transformers.

Quantised tensors are converted to floats one by one; llama.cpp's order of the
rows of queries and keys is undone. What it is read with is the package `gguf`.
"""

import json
import pathlib
import sys
import types
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from rlhf_jax import progress
from rlhf_jax.models.huggingface import safetensors, writing
from rlhf_jax.models.huggingface.llama import LLAMA, QWEN2, QWEN3
from rlhf_jax.models.huggingface.safetensors import (
  DTYPES,
  CheckpointError,
  Planned,
)
from rlhf_jax.storage import files

# Those whose tensors we know; Llama's queries and keys are in another order.
ARCHITECTURES = {one.kind: one for one in (LLAMA, QWEN2, QWEN3)}
NAMES = {
  'token_embd': 'model.embed_tokens',
  'output_norm': 'model.norm',
  'output': 'lm_head',
  'attn_norm': 'input_layernorm',
  'ffn_norm': 'post_attention_layernorm',
  'attn_q': 'self_attn.q_proj',
  'attn_k': 'self_attn.k_proj',
  'attn_v': 'self_attn.v_proj',
  'attn_output': 'self_attn.o_proj',
  'attn_q_norm': 'self_attn.q_norm',
  'attn_k_norm': 'self_attn.k_norm',
  'ffn_gate': 'mlp.gate_proj',
  'ffn_up': 'mlp.up_proj',
  'ffn_down': 'mlp.down_proj',
}
_SPACES = r'\s*[\r\n]+|\s+(?!\S)|\s+'
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r' ?[^\s\p{L}\p{N}]+[\r\n]*'
# How texts are cut before pairs are merged; None as GPT-2 does it.
PRE_TOKENIZERS = {
  'gpt-2': None,
  'smollm': {'type': 'Digits', 'individual_digits': True},
  'llama-bpe': rf'{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}',
  'qwen2': rf'{_WORDS}|\p{{N}}|{_MARKS}|{_SPACES}',
}
CONTROL, USER_DEFINED = 3, 4
# What they call the tokens that we name bos, eos, pad and unk.
SPECIAL = {'bos': 'bos', 'eos': 'eos', 'pad': 'padding', 'unk': 'unknown'}
EMBEDDING = 'model.embed_tokens.weight'
INSTEAD = "take the model's folder of safetensors instead"


def convert(
  path: str | pathlib.Path,
  folder: str | pathlib.Path,
  *,
  dtype: str = 'float32',
  out: TextIO = sys.stderr,
) -> None:
  """Writes a GGUF file as a folder of transformers, whole or not at all.

  Args:
    path: of the file.
    folder: to be made: config.json, tensors, tokenizer.
    dtype: of all tensors, 'float32', 'float16' or 'bfloat16'.
    out: where progress is shown.

  Raises:
    CheckpointError: it is no such file, or holds what is not known here, or
      the package gguf is not installed.
    StorageError: the folder cannot be written.
  """
  path, folder = pathlib.Path(path), pathlib.Path(folder)
  reader = _opened(path)
  said = {name: field.contents() for name, field in reader.fields.items()}
  kind = said.get('general.architecture')
  if kind not in ARCHITECTURES:
    known = ', '.join(ARCHITECTURES)
    raise CheckpointError(
      f'{path} holds a {kind!r}, and of GGUF files {known} are known; {INSTEAD}'
    )
  tensors = {_name(path, one.name): one for one in reader.tensors}
  if EMBEDDING not in tensors:
    raise CheckpointError(f'{path} has no token_embd.weight; {INSTEAD}')
  config = _config(path, kind, said, tensors) | {'torch_dtype': dtype}
  tokenizer, tokenizer_config = _tokenizer(path, said)
  planned = [
    Planned(name, writing.NAMES[dtype], _shape(tensors[name]))
    for name in sorted(tensors)
  ]
  with writing.new_folder(folder) as partial:
    with (partial / safetensors.FILE).open('wb') as file:
      safetensors.write_header(file, planned)
      for one in progress.track(
        planned, 'converting', len(planned), out=out, unit='tensor'
      ):
        array = _values(tensors[one.name])
        if kind == 'llama':
          array = _reordered(one.name, array, config)
        array = np.ascontiguousarray(array, DTYPES[one.dtype])
        file.write(array.reshape(-1).view(np.uint8))
    files.write_json(partial / 'config.json', config)
    _write(partial / 'tokenizer.json', tokenizer)
    _write(partial / 'tokenizer_config.json', tokenizer_config)
    ids = {key: v for key, v in config.items() if key.endswith('_token_id')}
    files.write_json(partial / 'generation_config.json', ids)


def package() -> types.ModuleType:
  """The package gguf.

  Raises:
    CheckpointError: it is not installed.
  """
  try:
    import gguf
  except ModuleNotFoundError as error:
    raise CheckpointError(
      'to read GGUF files, the package gguf is needed: pip install gguf'
    ) from error
  return gguf


def _opened(path):
  gguf = package()
  if not path.is_file():
    raise CheckpointError(f'there is no file {path}')
  try:
    return gguf.GGUFReader(path)
  except (ValueError, IndexError, KeyError, TypeError) as error:
    raise CheckpointError(
      f'{path} is no GGUF file, or is cut short ({error}); download it again'
    ) from error


def _name(path, name):
  """What transformers calls a tensor."""
  stem, _, kind = name.rpartition('.')
  layer, prefix = '', ''
  if stem.startswith('blk.'):
    _, layer, stem = stem.split('.', 2)
    prefix = f'model.layers.{layer}.'
  if stem not in NAMES or kind not in ('weight', 'bias'):
    raise CheckpointError(
      f'{path} has a tensor {name}, which is not known here; {INSTEAD}'
    )
  return f'{prefix}{NAMES[stem]}.{kind}'


def _shape(tensor):
  return tuple(int(n) for n in tensor.shape[::-1])


def _values(tensor):
  values = package().quants.dequantize(tensor.data, tensor.tensor_type)
  return values.astype(np.float32).reshape(_shape(tensor))


def _reordered(name, array, config):
  """Pairs (i, i + d / 2) of a head, which llama.cpp puts side by side."""
  for part, heads in (('q', 'num_attention'), ('k', 'num_key_value')):
    if f'self_attn.{part}_proj' in name:
      pairs = (config[f'{heads}_heads'], -1, 2, *array.shape[1:])
      return array.reshape(pairs).swapaxes(1, 2).reshape(array.shape)
  return array


def _config(path, kind, said, tensors):
  def get(key, default=None):
    found = said.get(f'{kind}.{key}', default)
    if found is None:
      raise CheckpointError(f'{path} says no {kind}.{key}; {INSTEAD}')
    return found

  scaling = said.get(f'{kind}.rope.scaling.type', 'none')
  rope = None
  if scaling != 'none':
    rope = {'rope_type': scaling, 'factor': get('rope.scaling.factor')}
    original = get('rope.scaling.original_context_length', 0)
    rope |= {'original_max_position_embeddings': original} if original else {}
  heads, width = get('attention.head_count'), get('embedding_length')
  ids = {
    f'{name}_token_id': said.get(f'tokenizer.ggml.{SPECIAL[name]}_token_id')
    for name in ('bos', 'eos', 'pad')
  }
  return {
    'architectures': [ARCHITECTURES[kind].name + ARCHITECTURES[kind].causal],
    'model_type': kind,
    'vocab_size': _shape(tensors[EMBEDDING])[0],
    'hidden_size': width,
    'num_hidden_layers': get('block_count'),
    'num_attention_heads': heads,
    'num_key_value_heads': get('attention.head_count_kv', heads),
    'head_dim': get('attention.key_length', width // heads),
    'intermediate_size': get('feed_forward_length'),
    'hidden_act': 'silu',
    'rms_norm_eps': _short(get('attention.layer_norm_rms_epsilon')),
    'rope_theta': _short(get('rope.freq_base', 10_000.0)),
    'rope_scaling': rope,
    'max_position_embeddings': get('context_length'),
    'tie_word_embeddings': 'lm_head.weight' not in tensors,
    **{name: number for name, number in ids.items() if number is not None},
  }


def _short(number):
  """A number as it was before it was rounded to float32."""
  return float(f'{number:.6g}')


def _tokenizer(path, said):
  """tokenizer.json and tokenizer_config.json."""

  def get(key):
    return said.get(f'tokenizer.ggml.{key}')

  pre = get('pre')
  if get('model') != 'gpt2' or pre not in PRE_TOKENIZERS:
    raise CheckpointError(
      f'the tokenizer of {path} is of kind {get("model")!r}, {pre!r}; only '
      f'byte-level BPE is known, of the kinds {", ".join(PRE_TOKENIZERS)}; '
      + INSTEAD
    )
  tokens, kinds, merges = get('tokens'), get('token_type'), get('merges')
  if None in (tokens, kinds, merges):
    raise CheckpointError(f'the tokenizer of {path} is not whole; {INSTEAD}')
  added = [
    {
      'id': number,
      'content': token,
      'single_word': False,
      'lstrip': False,
      'rstrip': False,
      'normalized': False,
      'special': kind == CONTROL,
    }
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
    if kind in (CONTROL, USER_DEFINED)
  ]
  whole = {
    'version': '1.0',
    'added_tokens': added,
    'pre_tokenizer': _pre_tokenizer(PRE_TOKENIZERS[pre]),
    'decoder': _byte_level(use_regex=True),
    'model': {
      'type': 'BPE',
      'ignore_merges': pre == 'llama-bpe',
      'vocab': {token: number for number, token in enumerate(tokens)},
      'merges': [merge.split(' ') for merge in merges],
    },
  }
  names = {
    f'{name}_token': tokens[get(f'{key}_token_id')]
    for name, key in SPECIAL.items()
    if get(f'{key}_token_id') is not None
  }
  template = said.get('tokenizer.chat_template')
  return whole, {
    'tokenizer_class': 'PreTrainedTokenizerFast',
    'clean_up_tokenization_spaces': False,
    **names,
    **({'chat_template': template} if template else {}),
  }


def _pre_tokenizer(cut):
  if isinstance(cut, str):
    cut = {
      'type': 'Split',
      'pattern': {'Regex': cut},
      'behavior': 'Isolated',
      'invert': False,
    }
    steps = [cut, _byte_level(use_regex=False)]
  else:
    steps = [*([cut] if cut else []), _byte_level(use_regex=True)]
  return {'type': 'Sequence', 'pretokenizers': steps}


def _byte_level(*, use_regex: bool) -> Mapping[str, Any]:
  return {
    'type': 'ByteLevel',
    'add_prefix_space': False,
    'trim_offsets': True,
    'use_regex': use_regex,
  }


def _write(path, content):
  files.write_text(path, json.dumps(content, ensure_ascii=False, indent=1))
