"""Tokenizer folders of the kinds that people use, small.

Each has the tokenizer's kind and the habits of the chat template of a family of
models; the Jinja is written here.
"""

import json
import pathlib
from typing import NamedTuple

import tokenizers
from tokenizers import (
  AddedToken,
  Regex,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
  trainers,
)

TEXTS = (
  ['What is the answer to it? The answer is 42, so I say.\n\n'] * 9
  + ['You help a friend to think of\n things: yes, no! It is 2024.'] * 9
  + ['Human:\nhow?\n\nAssistant:\nso.   <|user|> [INST] user assistant'] * 9
)
LLAMA_3_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
  r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)


class Family(NamedTuple):
  """A kind of folder.

  Attributes:
    backend: the tokenizer.
    config: tokenizer_config.json.
    system: whether its template takes a system turn.
    further: other files of the folder, by name.
  """

  backend: tokenizers.Tokenizer
  config: dict
  system: bool = True
  further: dict = {}

  def write(self, folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    self.backend.save(str(folder / 'tokenizer.json'))
    config = {'tokenizer_class': 'PreTrainedTokenizerFast', **self.config}
    for name, content in {
      'tokenizer_config.json': config,
      **self.further,
    }.items():
      (folder / name).write_text(json.dumps(content))
    return folder


def byte_level(special, *, words=None, ordinary=()) -> tokenizers.Tokenizer:
  """Byte-level BPE of TEXTS; words by a pattern, or as GPT-2 has them."""
  backend = tokenizers.Tokenizer(models.BPE())
  byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not words)
  backend.pre_tokenizer = byte
  if words:
    backend.pre_tokenizer = pre_tokenizers.Sequence(
      [pre_tokenizers.Split(Regex(words), 'isolated'), byte]
    )
  backend.decoder = decoders.ByteLevel()
  backend.train_from_iterator(
    TEXTS,
    trainers.BpeTrainer(
      vocab_size=400,
      initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
      show_progress=False,
    ),
  )
  backend.add_special_tokens(list(special))
  backend.add_tokens(list(ordinary))
  return backend


def sentencepiece(special, *, first=False) -> tokenizers.Tokenizer:
  """BPE over texts with space marks, bytes for what it does not know.

  Args:
    first: whether a space is put before the text's first word alone; else
      before every stretch of text between special tokens, as Llama 2 does.
  """
  trained = tokenizers.Tokenizer(models.BPE())
  trained.pre_tokenizer = pre_tokenizers.Metaspace()
  trained.train_from_iterator(
    TEXTS, trainers.BpeTrainer(vocab_size=200, show_progress=False)
  )
  model = json.loads(trained.to_str())['model']
  pieces = ['<unk>', '<s>', '</s>', *(f'<0x{i:02X}>' for i in range(256))]
  pieces += sorted(model['vocab'], key=model['vocab'].get)
  pieces += ['▁▁']  # Spaces alone are a piece, too, in all of these.
  backend = tokenizers.Tokenizer(
    models.BPE(
      {piece: i for i, piece in enumerate(pieces)},
      [*(tuple(pair) for pair in model['merges']), ('▁', '▁')],
      unk_token='<unk>',
      fuse_unk=True,
      byte_fallback=True,
    )
  )
  if first:
    backend.pre_tokenizer = pre_tokenizers.Metaspace(
      prepend_scheme='first', split=False
    )
  else:
    backend.normalizer = normalizers.Sequence(
      [normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')]
    )
  backend.decoder = decoders.Sequence(
    [
      decoders.Replace('▁', ' '),
      decoders.ByteFallback(),
      decoders.Fuse(),
      decoders.Strip(' ', 1, 0),
    ]
  )
  backend.add_special_tokens(['<unk>', '<s>', '</s>', *special])
  return begun(backend, '<s>')


def begun(backend, bos):
  """The same tokenizer, which opens every text."""
  backend.post_processor = processors.TemplateProcessing(
    single=f'{bos} $A', special_tokens=[(bos, backend.token_to_id(bos))]
  )
  return backend


def chatml(default='', *, think=False) -> str:
  """ChatML as Qwen writes it, with a default system turn or reasoning."""
  system = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    '{%- else %}' + default + '{%- endif %}'
  )
  said = '{%- set content = message.content %}'
  if think:
    said += """
    {%- set reasoning = '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n') %}
        {%- set reasoning = reasoning.split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if message.role == 'assistant' and loop.last %}
        {%- set content = '<think>\\n' + reasoning.strip('\\n')
            + '\\n</think>\\n\\n' + content.lstrip('\\n') %}
    {%- endif %}
"""
  return (
    system
    + '{%- for message in messages %}'
    + "{%- if not (loop.first and message.role == 'system') %}"
    + said
    + "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' }}"
    + "{{- '\\n' }}{%- endif %}{%- endfor %}"
    + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    + '{%- endif %}'
  )


LLAMA_2 = """{% if messages[0]['role'] == 'system' %}
{% set loop_messages = messages[1:] %}
{% set system_message = messages[0]['content'] %}
{% else %}
{% set loop_messages = messages %}
{% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/…') }}
{% endif %}
{% if loop.index0 == 0 and system_message != false %}
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n'
   + message['content'] %}
{% else %}
{% set content = message['content'] %}
{% endif %}
{% if message['role'] == 'user' %}
{{- bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
{% elif message['role'] == 'assistant' %}
{{- ' ' + content.strip() + ' ' + eos_token -}}
{% endif %}
{% endfor %}"""
MISTRAL = (
  '{{ bos_token }}{% for message in messages %}'
  "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
  "{{ raise_exception('Only user and assistant roles are supported!') }}"
  "{% endif %}{% if message['role'] == 'user' %}"
  "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
  "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'
        + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
GEMMA = (
  "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
  "{{ raise_exception('System role not supported') }}{% endif %}"
  '{% for message in messages %}'
  "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
  "{% else %}{% set role = message['role'] %}{% endif %}"
  "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim"
  " + '<end_of_turn>\n' }}{% endfor %}"
  "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI_3 = (
  '{% for message in messages %}'
  "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
  '{% endfor %}'
  "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
DEEPSEEK = (
  "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
  "{{ messages[0]['content'] }}{% endif %}{% for message in messages %}"
  "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
  "{% elif message['role'] == 'assistant' %}"
  "{% set content = message['content'] %}{% if '</think>' in content %}"
  "{% set content = content.split('</think>')[-1] %}{% endif %}"
  "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}"
  '{% endif %}{% endfor %}'
  "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)
COMMAND_R = (
  "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
  "{% set said = messages[1:] %}{% set rules = messages[0]['content'] %}"
  '{% else %}{% set said = messages %}{% set rules = false %}{% endif %}'
  '{% if rules != false %}'
  "{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + rules"
  " + '<|END_OF_TURN_TOKEN|>' }}{% endif %}"
  "{% for message in said %}{{ '<|START_OF_TURN_TOKEN|>' }}"
  "{% if message['role'] == 'user' %}{{ '<|USER_TOKEN|>' }}"
  "{% else %}{{ '<|CHATBOT_TOKEN|>' }}{% endif %}"
  "{{ message['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
  '{% if add_generation_prompt %}'
  "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
)


def llama_2() -> Family:
  names = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>'}
  return Family(sentencepiece([]), names | {'chat_template': LLAMA_2})


def mistral() -> Family:
  names = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>'}
  backend = sentencepiece([], first=True)
  return Family(backend, names | {'chat_template': MISTRAL}, system=False)


def mistral_with_tokens() -> Family:
  """Later ones, whose [INST] is a token."""
  names = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>'}
  backend = sentencepiece(['[INST]', '[/INST]'])
  template = MISTRAL.replace("'[INST] '", "'[INST]'").replace("' [", "'[")
  return Family(backend, names | {'chat_template': template}, system=False)


def llama_3() -> Family:
  special = ['<|begin_of_text|>', '<|end_of_text|>', '<|start_header_id|>']
  special += ['<|end_header_id|>', '<|eot_id|>', '<|finetune_right_pad_id|>']
  backend = byte_level(special, words=LLAMA_3_WORDS)
  return Family(
    begun(backend, special[0]),
    {
      'bos_token': special[0],
      'eos_token': '<|end_of_text|>',
      'chat_template': LLAMA_3,
    },
    further={
      'generation_config.json': {
        'eos_token_id': [
          backend.token_to_id('<|end_of_text|>'),
          backend.token_to_id('<|eot_id|>'),
        ]
      }
    },
  )


def gemma() -> Family:
  """Lines and runs of spaces are added tokens, and so are tags of HTML."""
  special = ['<start_of_turn>', '<end_of_turn>', '<pad>']
  backend = sentencepiece(special)
  backend.normalizer = normalizers.Replace(' ', '▁')
  backend.pre_tokenizer = pre_tokenizers.Split(' ', 'merged_with_previous')
  backend.decoder = decoders.Sequence(
    [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse()]
  )
  backend.add_tokens(
    [AddedToken(t, normalized=False) for t in ('\n', '\n\n', '▁▁', '<h1>')]
  )
  names = {'bos_token': '<s>', 'eos_token': '</s>', 'pad_token': '<pad>'}
  return Family(backend, names | {'chat_template': GEMMA}, system=False)


def phi_3() -> Family:
  roles = ('<|end|>', '<|user|>', '<|assistant|>', '<|system|>')
  backend = sentencepiece(
    [AddedToken(name, rstrip=True, normalized=False) for name in roles]
    + ['<|endoftext|>']
  )
  names = {'bos_token': '<s>', 'eos_token': '<|endoftext|>'}
  names |= {'pad_token': '<|endoftext|>', 'add_bos_token': False}
  return Family(backend, names | {'chat_template': PHI_3})


def qwen(template: str) -> Family:
  thought = [
    AddedToken(name, normalized=False)
    for name in ('<think>', '</think>', '<tool_call>')
  ]
  backend = byte_level(
    ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
    words=LLAMA_3_WORDS,
    ordinary=thought,
  )
  backend.normalizer = normalizers.NFC()
  names = {'eos_token': '<|im_end|>', 'pad_token': '<|endoftext|>'}
  ends = [backend.token_to_id(n) for n in ('<|im_end|>', '<|endoftext|>')]
  return Family(
    backend,
    names | {'bos_token': None, 'chat_template': template},
    further={'generation_config.json': {'eos_token_id': ends}},
  )


def qwen_2() -> Family:
  default = "{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}"
  return qwen(chatml(default))


def qwen_3() -> Family:
  return qwen(chatml(think=True))


def deepseek() -> Family:
  special = ['<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>']
  backend = byte_level(
    special,
    ordinary=[
      AddedToken(name, normalized=True)
      for name in ('<｜User｜>', '<｜Assistant｜>', '<｜tool▁calls▁begin｜>')
    ],
  )
  names = {
    'bos_token': {'__type': 'AddedToken', 'content': special[0]},
    'eos_token': {'__type': 'AddedToken', 'content': special[1]},
    'pad_token': {'__type': 'AddedToken', 'content': special[1]},
  }
  return Family(begun(backend, special[0]), names | {'chat_template': DEEPSEEK})


def command_r() -> Family:
  special = ['<BOS_TOKEN>', '<EOS_TOKEN>', '<PAD>', '<|START_OF_TURN_TOKEN|>']
  special += ['<|SYSTEM_TOKEN|>', '<|USER_TOKEN|>', '<|CHATBOT_TOKEN|>']
  backend = byte_level([*special, '<|END_OF_TURN_TOKEN|>'])
  names = {'bos_token': special[0], 'eos_token': '<|END_OF_TURN_TOKEN|>'}
  named = [
    {'name': 'default', 'template': COMMAND_R},
    {'name': 'tool_use', 'template': '{{ tools | tojson }}'},
  ]
  return Family(
    begun(backend, '<BOS_TOKEN>'),
    names | {'pad_token': '<PAD>', 'chat_template': named},
  )


def smollm_2() -> Family:
  backend = tokenizers.Tokenizer(models.BPE())
  special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
  backend.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Digits(individual_digits=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  backend.decoder = decoders.ByteLevel()
  backend.train_from_iterator(
    TEXTS,
    trainers.BpeTrainer(
      vocab_size=400,
      initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
      special_tokens=special,
      show_progress=False,
    ),
  )
  default = "{{- '<|im_start|>system\\nYou are small.<|im_end|>\\n' }}"
  names = {'bos_token': '<|im_start|>', 'eos_token': '<|im_end|>'}
  return Family(
    backend,
    names | {'pad_token': '<|im_end|>', 'chat_template': chatml(default)},
  )


def pythia() -> Family:
  """No template, no BOS; runs of spaces are added tokens."""
  backend = byte_level(
    ['<|endoftext|>', '<|padding|>'],
    ordinary=[AddedToken(' ' * n, normalized=True) for n in (8, 4, 3, 2)],
  )
  names = {'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>'}
  return Family(backend, names)


def gpt_2() -> Family:
  backend = byte_level(['<|endoftext|>'])
  backend.post_processor = processors.ByteLevel(trim_offsets=False)
  names = {'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>'}
  return Family(backend, names)


def llama_2_base() -> Family:
  family = llama_2()
  return family._replace(
    config=family.config | {'chat_template': None, 'add_bos_token': True}
  )


def llama_3_base() -> Family:
  family = llama_3()
  names = {k: v for k, v in family.config.items() if k != 'chat_template'}
  return family._replace(config=names)


CHAT = {
  maker.__name__: maker
  for maker in (
    llama_2,
    mistral,
    mistral_with_tokens,
    llama_3,
    gemma,
    phi_3,
    qwen_2,
    qwen_3,
    deepseek,
    command_r,
    smollm_2,
  )
}
BASE = {
  maker.__name__: maker for maker in (pythia, gpt_2, llama_2_base, llama_3_base)
}
