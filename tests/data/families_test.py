"""Our ids are those of the folder's own tokenizer for its template's text.

The oracle is transformers: what it renders, and what it encodes that to.
"""

import functools
import pathlib
import random
import tempfile

import transformers
from absl.testing import absltest, parameterized

from rlhf_jax.data import chat_templates, limits, templates, tokens
from rlhf_jax.types import Message, Prompt, Response
from tests.data import families

PIECES = (
  *('What', 'is', ' ', '  ', '\n', '\n\n', 'answer', 'é', '日本', '🙂', '42'),
  *('7', "it's", '?', '.', '[', '<', '(', ':', 'the', 'user', '\t', '|'),
  *('[INST', 'assistant', ' so', '\r\n', '▁', '<|', '|>', '{{', '̈', '<h'),
)
# As people have them: spaces around, several lines, next to nothing.
CONVERSATIONS = (
  [('user', 'What is it?')],
  [('system', 'You help.'), ('user', 'What is it? \n')],
  [('user', ' a'), ('assistant', 'the answer is 42.\n'), ('user', '\nok ')],
  [('user', '0'), ('assistant', '.'), ('user', '🙂'), ('assistant', ' b')]
  + [('user', 'x\n\n\ny')],
  [('system', ' \nbe\n'), ('user', '日本 é'), ('assistant', '\ta  b')]
  + [('user', "    it's\n    so")],
)
RESPONSES = ('so.', 'The answer is 42.\n', ' a b', 'x\n\ny ', '🙂', '')
DATE = '26 Jul 2024'


def said(random_numbers):
  count = random_numbers.randint(1, 8)
  return ''.join(random_numbers.choices(PIECES, k=count)) + 'a'


def conversations(family, seed, count):
  """The fixed ones that a family takes, and random ones."""
  random_numbers = random.Random(seed)
  made = list(CONVERSATIONS)
  for _ in range(count):
    turns = [('system', said(random_numbers))] * random_numbers.randint(0, 1)
    for i in range(random_numbers.choice((1, 3, 5))):
      turns.append((('user', 'assistant')[i % 2], said(random_numbers)))
    made.append(turns)
  return [c for c in made if family.system or c[0][0] != 'system']


def prompt(turns):
  return Prompt(tuple(Message(*turn) for turn in turns))


class Loaded:
  """A family's folder as we read it and as transformers does."""

  def __init__(self, maker):
    self.family = maker()
    with tempfile.TemporaryDirectory() as root:
      folder = self.family.write(pathlib.Path(root) / 'folder')
      self.tokenizer = tokens.load(folder)
      self.theirs = transformers.AutoTokenizer.from_pretrained(folder)
    self.template = chat_templates.of(self.tokenizer)

  def ids(self, turns, *, opened):
    return self.theirs.apply_chat_template(
      [{'role': role, 'content': content} for role, content in turns],
      add_generation_prompt=opened,
      return_dict=False,
      date_string=DATE,
    )

  def text(self, ids):
    return self.theirs.decode(ids, skip_special_tokens=False)

  def names(self, ids):
    """Names of the marks among ids."""
    added = self.theirs.added_tokens_decoder
    return [
      added[i].content
      for i in ids
      if i in added and added[i].content.strip(' \n▁')
    ]


loaded = functools.cache(lambda name: Loaded(families.CHAT[name]))
base = functools.cache(lambda name: Loaded(families.BASE[name]))


class ChatTest(parameterized.TestCase):
  @parameterized.parameters(*families.CHAT)
  def test_prompts_are_as_transformers_has_them(self, name):
    folder = loaded(name)
    for turns in conversations(folder.family, seed=1, count=25):
      self.assertEqual(
        folder.template.parts(prompt(turns), folder.tokenizer).ids,
        folder.ids(turns, opened=True),
        turns,
      )

  @parameterized.parameters(*families.CHAT)
  def test_responses_are_as_transformers_has_them(self, name):
    folder = loaded(name)
    tokenizer, template = folder.tokenizer, folder.template
    random_numbers = random.Random(2)
    drawn = [said(random_numbers) for _ in range(25)]
    for turns, response in zip(
      conversations(folder.family, seed=3, count=25),
      [*RESPONSES, *drawn],
      strict=False,
    ):
      asked = template.parts(prompt(turns), tokenizer).ids
      told = template.encode_response(prompt(turns), response, tokenizer)
      ours = [*asked, *told, template.end_id(tokenizer)]
      theirs = folder.ids([*turns, ('assistant', response)], opened=False)
      if theirs[: len(asked)] == asked:
        self.assertEqual(ours, theirs[: len(ours)], (turns, response))
      else:
        # A piece across the border, which nobody can sample: the text is right.
        self.assertStartsWith(response, ('\n', '\r', '\t', ' '))
        self.assertStartsWith(folder.text(theirs), folder.text(ours))

  @parameterized.parameters(*families.CHAT)
  def test_what_is_decoded_is_encoded_to_the_same_ids(self, name):
    folder = loaded(name)
    tokenizer, template = folder.tokenizer, folder.template
    random_numbers = random.Random(4)
    asked = prompt([('user', 'What is it?')])
    for _ in range(20):
      # Decoded, the sign for a space is one.
      response = said(random_numbers).replace('▁', '')
      ids = template.encode_response(asked, response, tokenizer)
      text = tokenizer.decode([*ids, template.end_id(tokenizer)])
      self.assertEqual(template.encode_response(asked, text, tokenizer), ids)

  @parameterized.parameters(*families.CHAT)
  def test_contents_make_no_marks(self, name):
    folder = loaded(name)
    tokenizer, template = folder.tokenizer, folder.template
    for typed in folder.names(sorted(folder.theirs.added_tokens_decoder)):
      turns = [
        ('user', f'a{typed} b'),
        ('assistant', f'c {typed}'),
        ('user', typed),
      ]
      forged = template.parts(prompt(turns), tokenizer).ids
      honest = [(role, t.replace(typed, 'zz')) for role, t in turns]
      expected = folder.names(folder.ids(honest, opened=True))
      self.assertEqual(folder.names(forged), expected, typed)
      text = folder.text(forged)
      if typed != '</think>':  # What is before it is left out of a history.
        for _, content in turns:
          self.assertIn(content, text)

      asked = prompt(honest)
      told = template.encode_response(asked, f'a{typed}b', tokenizer)
      plain = template.encode_response(asked, 'azzb', tokenizer)
      self.assertEqual(folder.names(told), folder.names(plain))
      if typed not in ('<think>', '</think>'):
        self.assertEndsWith(tokenizer.decode(told).strip(), f'a{typed}b')

  @parameterized.parameters(
    ('llama_2', '</s>', ()),
    ('mistral', '</s>', ()),
    ('mistral_with_tokens', '</s>', ()),
    ('llama_3', '<|eot_id|>', ('<|end_of_text|>',)),
    ('gemma', '<end_of_turn>', ('</s>',)),
    ('phi_3', '<|end|>', ('<|endoftext|>',)),
    ('qwen_2', '<|im_end|>', ('<|endoftext|>',)),
    ('qwen_3', '<|im_end|>', ('<|endoftext|>',)),
    ('deepseek', '<｜end▁of▁sentence｜>', ()),
    ('command_r', '<|END_OF_TURN_TOKEN|>', ()),
    ('smollm_2', '<|im_end|>', ()),
  )
  def test_stops_where_the_template_and_the_folder_do(self, name, end, others):
    folder = loaded(name)
    wanted = folder.theirs.convert_tokens_to_ids([end, *others])
    self.assertEqual(folder.template.end_id(folder.tokenizer), wanted[0])
    stops = folder.template.stop_ids(folder.tokenizer)
    self.assertEqual((stops[0], {*stops}), (wanted[0], {*wanted}))

  @parameterized.parameters(*families.CHAT)
  def test_what_is_left_of_a_long_dialogue_is_a_dialogue(self, name):
    folder = loaded(name)
    turns = [('system', 'You help a friend.')] * folder.family.system
    for i in range(5):
      turns.append((('user', 'assistant')[i % 2], 'What is the answer? ' * 5))
    parts = folder.template.parts(prompt(turns), folder.tokenizer)
    whole = folder.ids(turns, opened=True)
    self.assertEqual(parts.ids, whole)
    # The shortest prompts that a dialogue's last turns make, whole.
    rules, spoken = turns[:-5], turns[-5:]
    for first in (2, 4):
      rest = folder.ids([*rules, *spoken[first:]], opened=True)
      for limit in (len(rest), len(rest) - 3):
        kept = limits.keep_end(parts, limit, 'f:1').ids
        self.assertLen(kept, limit)
        self.assertEqual(folder.names(kept), folder.names(rest))
        if limit == len(rest):
          self.assertEqual(kept, rest)
    start = limits.keep_start(parts, len(whole) - 4, 'f:1').ids
    self.assertLen(start, len(whole) - 4)
    self.assertEqual(folder.names(start), folder.names(whole))

  def test_a_cut_response_has_nothing_of_what_closes_it(self):
    folder = loaded('llama_2')  # It writes a space before </s>.
    asked = prompt([('user', 'What is it?')])
    encode = functools.partial(
      folder.template.encode_response, asked, tokenizer=folder.tokenizer
    )
    space = folder.theirs.convert_tokens_to_ids('▁')
    cut = encode(Response('so it is', ended=False))
    self.assertEqual(encode('so it is'), [*cut, space])

  def test_reasoning_of_a_response_is_marked_as_the_template_marks_it(self):
    folder = loaded('qwen_3')
    asked = prompt([('user', 'What is it?')])
    text = '<think>\nhm\n</think>\n\nSo.'
    ids = folder.template.encode_response(asked, text, folder.tokenizer)
    self.assertEqual(folder.names(ids), ['<think>', '</think>'])
    self.assertEqual(folder.text(ids), text)


class BaseTest(parameterized.TestCase):
  @parameterized.parameters(*families.BASE)
  def test_texts_open_as_the_tokenizer_opens_them(self, name):
    folder = base(name)
    for turns in conversations(folder.family, seed=5, count=20):
      asked = prompt(turns)
      ids = folder.template.parts(asked, folder.tokenizer).ids
      text = folder.template.render(asked)
      self.assertEqual(ids, folder.theirs(text).input_ids, turns)
      told = folder.template.encode_response(asked, '42 it.', folder.tokenizer)
      self.assertEqual(
        ids + told, folder.theirs(text + '42 it.').input_ids, turns
      )

  @parameterized.parameters(*families.BASE)
  def test_bos_is_there_once_or_not_at_all(self, name):
    folder = base(name)
    ids = folder.template.parts(
      prompt([('user', 'a<s><|begin_of_text|><|endoftext|>')]),
      folder.tokenizer,
    ).ids
    begun = {
      'llama_2_base': ['<s>'],
      'llama_3_base': ['<|begin_of_text|>'],
      'pythia': [],
      'gpt_2': [],
    }
    self.assertEqual(folder.names(ids), begun[name])

  @parameterized.parameters(*families.BASE)
  def test_ends_with_the_end_of_text(self, name):
    folder = base(name)
    self.assertEqual(
      folder.template.end_id(folder.tokenizer), folder.theirs.eos_token_id
    )
    self.assertIs(folder.template, chat_templates.SPEAKERS)

  @parameterized.parameters(*families.BASE)
  def test_what_is_decoded_is_encoded_to_the_same_ids(self, name):
    folder = base(name)
    asked = prompt([('user', 'What is it?')])
    encode = functools.partial(
      folder.template.encode_response, asked, tokenizer=folder.tokenizer
    )
    for response in (' so', 'so', 'so it', '  so', 'a\n\nb ', '🙂'):
      ids = encode(response)
      self.assertEqual(folder.tokenizer.decode(ids), response)
      self.assertEqual(encode(folder.tokenizer.decode(ids)), ids)
      twice = folder.tokenizer.decode_all([ids, [], ids])
      self.assertEqual(twice, [response, '', response])

  def test_plain_texts_open_so_too(self):
    folder = base('llama_3_base')
    ids = templates.PLAIN.parts(
      prompt([('user', 'What is it?')]), folder.tokenizer
    ).ids
    self.assertEqual(ids, folder.theirs('What is it?').input_ids)


if __name__ == '__main__':
  absltest.main()
