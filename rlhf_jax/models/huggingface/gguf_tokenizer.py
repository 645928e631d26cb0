"""The tokenizer of a GGUF file, as the files of a folder of transformers."""

import pathlib
from collections.abc import Mapping
from typing import Any

from rlhf_jax.models.huggingface.safetensors import CheckpointError

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
INSTEAD = "take the model's folder of safetensors instead"


def read(
  path: pathlib.Path, said: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """tokenizer.json and tokenizer_config.json.

  Args:
    path: of the file, for messages.
    said: what it says beside its tensors, by name.

  Raises:
    CheckpointError: it is of a kind that is not known here, or not whole.
  """

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
    'model_input_names': ['input_ids', 'attention_mask'],
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
