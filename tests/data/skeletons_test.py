"""Skeletons find what stand-ins find, piece by piece what the whole gives."""

import functools
import tempfile
from unittest import mock

from absl.testing import parameterized

from rlhf_jax.data import (
  chat_jinja,
  chat_syntax,
  chat_templates,
  rendering,
  skeletons,
  tokens,
)
from rlhf_jax.types import Message
from tests.data import families
from tests.data.families_test import CONVERSATIONS, conversations

BARE = rendering.Conversation((Message('user', 'a'),), opened=True)


@functools.cache
def reader(name):
  """Of a family's folder."""
  with tempfile.TemporaryDirectory() as root:
    folder = (families.CHAT | families.BASE)[name]().write(
      families.pathlib.Path(root) / 'folder'
    )
    tokenizer = tokens.load(folder)
  template = chat_templates.of(tokenizer)
  return rendering.Reader(template.source, tokenizer)


def answered(family, seed):
  """Conversations, opened, and each with an answer."""
  made = []
  for turns in conversations(family, seed=seed, count=15):
    messages = tuple(Message(*turn) for turn in turns)
    answer = Message(
      'assistant', ['so.', ' a\n', '</think>b', ''][len(made) % 4]
    )
    made.append(rendering.Conversation(messages, opened=True))
    made.append(rendering.Conversation((*messages, answer), opened=False))
  return made


def facts(read, conversation):
  """All that there is to know of a rendering."""
  spans = list(map(read.span, range(len(conversation.messages))))
  return read.text, read.ids, spans, read.turns(conversation.messages)


class SameTest(parameterized.TestCase):
  @parameterized.parameters(*families.CHAT, *families.BASE)
  def test_as_with_stand_ins_and_encoded_whole(self, name):
    subject = reader(name)
    family = (families.CHAT | families.BASE)[name]()
    asked = answered(family, seed=len(name))
    quick = subject.read_all(asked)
    with (
      mock.patch.object(skeletons, 'learn', lambda *_: None),
      mock.patch.object(subject.tokenizer.marks, 'apart', False),
    ):
      careful = subject.read_all(asked)
    for one, quickly, carefully in zip(asked, quick, careful, strict=True):
      if isinstance(carefully, Exception):
        self.assertEqual(str(quickly), str(carefully))
      else:
        self.assertEqual(facts(quickly, one), facts(carefully, one))

  @parameterized.parameters('smollm_2', 'llama_3', 'gemma', 'pythia')
  def test_nothing_is_rendered_where_the_template_only_writes(self, name):
    subject = reader(name)
    family = (families.CHAT | families.BASE)[name]()
    asked = [c for c in answered(family, seed=1) if c.messages[-1].content]
    before = subject.read_all(asked)
    with mock.patch.object(chat_jinja, 'compiled', side_effect=AssertionError):
      after = subject.read_all(asked)
    self.assertEqual([r.ids for r in before], [r.ids for r in after])

  def test_a_template_that_looks_into_contents_is_rendered_once_for_each(self):
    subject = reader('qwen_3')
    asked = [
      rendering.Conversation(tuple(Message(*t) for t in turns), opened=True)
      for turns in CONVERSATIONS
    ]
    subject.read_all(asked)
    with mock.patch.object(
      chat_jinja, 'compiled', side_effect=chat_jinja.compiled
    ) as rendered:
      subject.read_all(asked)
    self.assertEqual(rendered.call_count, len(asked))

  def test_contents_that_a_template_looks_into_are_found_all_the_same(self):
    subject = reader('deepseek')
    self.assertFalse(chat_syntax.only_writes(subject.source.jinja))
    messages = tuple(
      Message(*turn)
      for turn in [('user', 'a'), ('assistant', 'x</think>b'), ('user', 'c')]
    )
    read = subject.read(rendering.Conversation(messages, opened=True))
    said = [read.text[slice(*read.span(k))] for k in range(3)]
    self.assertEqual(said, ['a', 'b', 'c'])


class LearnTest(parameterized.TestCase):
  def learn(self, source, *roles):
    subject = reader('smollm_2')
    return skeletons.learn(
      chat_jinja.JinjaTemplate(source), subject.tokenizer, roles, False
    )

  @parameterized.parameters(
    ('{}', ('', '')),
    ('{}.strip()', (None, None)),
    ('{} | trim', (None, None)),
    ('{}.lstrip()', (None, '')),
    ('{}.rstrip()', ('', None)),
    ("{}.strip('\n')", ('\n', '\n')),
    ("{}.lstrip('\n').rstrip()", ('\n', None)),
    ("('<' + {}).strip()", ('', None)),
  )
  def test_what_is_stripped(self, change, stripped):
    written = change.format('m.content')
    source = (
      f"{{% for m in messages %}}{{{{ 'a ' + ({written}) }}}}{{% endfor %}}"
    )
    found = self.learn(source, 'user', 'assistant')
    self.assertEqual(found.stripped, [stripped] * 2)

  @parameterized.parameters(
    '{{ raise_exception("no") }}',
    '{{ messages[0].content | upper }}{{ messages[0].content | length }}',
  )
  def test_what_has_none(self, source):
    self.assertIsNone(self.learn(source, 'user'))

  def test_what_the_system_says_must_come_out(self):
    source = '{{ messages[1].content }}'
    self.assertIsNone(self.learn(source, 'system', 'user'))
    self.assertIsNotNone(self.learn(source, 'user', 'user'))

  def test_a_guess_that_does_not_hold_is_seen(self):
    found = self.learn('{{ messages[0].content | reverse }}', 'user')
    self.assertIsNotNone(found.fill(['aa'], 'aa'))
    self.assertIsNone(found.fill(['ab'], 'ba'))

  def test_what_leaves_nothing_of_a_content_is_looked_at_anew(self):
    source = "{{ '<|im_' ~ messages[0].content.strip() ~ 'end|>' }}"
    found = self.learn(source, 'user')
    self.assertIsNone(found.fill([' ']))
    own = chat_jinja.JinjaTemplate(source)
    subject = reader('smollm_2')._replace(source=own)
    one = rendering.Conversation((Message('user', ' '),), opened=False)
    mark = subject.tokenizer.id_of('<|im_end|>')
    self.assertEqual(subject.read(one).ids, [mark])
