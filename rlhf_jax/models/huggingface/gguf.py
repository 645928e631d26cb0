"""GGUF, llama.cpp's one file of a model, as a folder of transformers.

Quantised tensors are converted to floats one by one; llama.cpp's order of the
rows of queries and keys is undone. What it is read with is the package `gguf`.
"""

import json
import pathlib
import sys
import types
from typing import Any, TextIO

import numpy as np

from rlhf_jax import progress
from rlhf_jax.models.huggingface import (
  fields,
  folders,
  gguf_tokenizer,
  safetensors,
)
from rlhf_jax.models.huggingface.gguf_tokenizer import INSTEAD, SPECIAL
from rlhf_jax.models.huggingface.llama import LLAMA, QWEN2, QWEN3
from rlhf_jax.models.huggingface.safetensors import (
  DTYPES,
  NAMES,
  CheckpointError,
  Planned,
)
from rlhf_jax.models.rotary import ByWavelength, Rotary, frequencies
from rlhf_jax.storage import files

# Those whose tensors we know; Llama's queries and keys are in another order.
ARCHITECTURES = {one.kind: one for one in (LLAMA, QWEN2, QWEN3)}
TENSORS = {
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
EMBEDDING = 'model.embed_tokens.weight'
# Where Llama 3 stretches waves: a factor for each pair of a head.
FACTORS = 'rope_freqs.weight'
RELEASED = {'low': 1.0, 'high': 4.0, 'original': 8192}
LONGEST = (8.0, 32.0)  # Factors of the 8B and larger, and of the 1B and 3B.


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
  tensors = {
    _name(path, one.name): one for one in reader.tensors if one.name != FACTORS
  }
  if EMBEDDING not in tensors:
    raise CheckpointError(f'{path} has no token_embd.weight; {INSTEAD}')
  config = _config(path, kind, said, tensors) | {'torch_dtype': dtype}
  config['rope_scaling'] = _scaling(path, reader, config)
  tokenizer, tokenizer_config = gguf_tokenizer.read(path, said)
  planned = [
    Planned(name, NAMES[dtype], _shape(tensors[name]))
    for name in sorted(tensors)
  ]
  with folders.new_folder(folder) as partial:
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
    files.write_json(partial / folders.CONFIG, config)
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
  if stem not in TENSORS or kind not in ('weight', 'bias'):
    raise CheckpointError(
      f'{path} has a tensor {name}, which is not known here; {INSTEAD}'
    )
  return f'{prefix}{TENSORS[stem]}.{kind}'


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


def _scaling(path, reader, config):
  """`rope_scaling`, by a tensor of factors where the file has one."""
  said = config['rope_scaling']
  for one in reader.tensors:
    if one.name != FACTORS:
      continue
    try:
      if said is not None:
        raise CheckpointError(f'waves are stretched by {one.name}, and twice')
      pairs = config['head_dim'] // 2
      if _shape(one) != (pairs,):
        raise CheckpointError(
          f'{one.name} has the shape {_shape(one)}, and heads {pairs} pairs'
        )
      return llama3_scaling(_values(one), config['rope_theta'])
    except CheckpointError as error:
      raise CheckpointError(f'{path}: {error}; {INSTEAD}') from error
  return said


def llama3_scaling(factors: np.ndarray, base: float) -> dict[str, Any] | None:
  """`rope_scaling` of config.json, by which pairs turn as by these factors.

  llama.cpp divides the angle of a pair of a head by its factor; in config.json
  four numbers say the same. Three of them are one in all that Llama 3.1 to 3.3
  released.

  Args:
    factors: [pairs] what the angle of each pair of a head is divided by.
    base: of the wavelengths.

  Returns:
    None where all factors are 1.

  Raises:
    CheckpointError: Llama 3 was not released with such factors.
  """
  if np.all(factors == 1.0):
    return None
  width = 2 * len(factors)
  turned = np.asarray(frequencies(Rotary(base=base), width)) / factors
  longest = float(np.max(factors))
  # No wave of a narrow head is long, so that its factor does not show.
  for factor in (longest, *LONGEST):
    if not 1.0 <= factor < np.inf:
      continue
    scaling = ByWavelength(factor=factor, **RELEASED)
    rotary = Rotary(base=base, scaling=scaling)
    if np.allclose(turned, frequencies(rotary, width), rtol=1e-4, atol=0.0):
      return fields.rotary_json(rotary, width)['rope_scaling']
  raise CheckpointError(
    f'{FACTORS} has factors up to {longest:g}, which are not those of Llama 3 '
    f'({json.dumps(RELEASED)[1:-1]})'
  )


def _short(number):
  """A number as it was before it was rounded to float32."""
  return float(f'{number:.6g}')


def _write(path, content):
  files.write_text(path, json.dumps(content, ensure_ascii=False, indent=1))
