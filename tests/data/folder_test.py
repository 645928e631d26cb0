"""What a tokenizer folder says is read, or refused in a sentence."""

import json
import pathlib
import tempfile

import transformers
from absl.testing import absltest, parameterized
from tokenizers import AddedToken, processors

from rlhf_jax.data import chat_templates, tokens
from tests.data import families

NAMES = {'eos_token': '<eos>', 'pad_token': '<pad>', 'bos_token': '<bos>'}
CHATS = "{% for m in messages %}{{ '<eos>' + m.content + '<eos>' }}{% endfor %}"


class FolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.backend = families.byte_level(['<pad>', '<eos>', '<bos>', '<turn>'])
    self.folder = root / 'folder'
    families.Family(self.backend, dict(NAMES)).write(self.folder)

  def write(self, name, content):
    path = self.folder / name
    path.parent.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)

  def config(self, **changes):
    self.write('tokenizer_config.json', NAMES | changes)

  def id_of(self, name):
    return self.backend.token_to_id(name)

  def test_truncation_and_padding_are_switched_off(self):
    self.backend.enable_truncation(max_length=4)
    self.backend.enable_padding(length=32)
    self.backend.save(str(self.folder / 'tokenizer.json'))
    text = 'What is the answer to it? The answer is 42.'
    plain = families.byte_level(['<pad>', '<eos>', '<bos>', '<turn>'])
    tokenizer = tokens.load(self.folder)
    self.assertEqual(tokenizer.encode(text), plain.encode(text).ids)
    tokenizer.save(self.folder / 'again')
    saved = json.loads((self.folder / 'again' / 'tokenizer.json').read_text())
    self.assertEqual((saved['truncation'], saved['padding']), (None, None))

  def test_what_is_saved_gives_no_segments(self):
    tokens.load(self.folder).save(self.folder / 'again')
    said = json.loads((self.folder / 'again/tokenizer_config.json').read_text())
    self.assertEqual(said['model_input_names'], ['input_ids', 'attention_mask'])

  def test_every_end_of_text_stops(self):
    ends = [self.id_of('<turn>'), self.id_of('<eos>')]
    self.write('generation_config.json', {'eos_token_id': ends})
    tokenizer = tokens.load(self.folder)
    template = chat_templates.of(tokenizer)
    self.assertEqual(template.stop_ids(tokenizer), (ends[1], ends[0]))
    tokenizer.save(self.folder / 'again')
    again = tokens.load(self.folder / 'again')
    self.assertEqual(template.stop_ids(again), (ends[1], ends[0]))

  def test_one_end_of_text_may_be_a_number(self):
    self.write('generation_config.json', {'eos_token_id': self.id_of('<turn>')})
    self.assertEqual(tokens.load(self.folder).stops, ('<turn>',))

  def test_the_end_of_text_may_be_named_there_alone(self):
    self.config(eos_token=None)
    self.write('generation_config.json', {'eos_token_id': self.id_of('<eos>')})
    self.assertEqual(tokens.load(self.folder).eos, '<eos>')

  def test_an_end_of_text_that_is_not_flagged_is_no_text(self):
    self.backend.add_tokens([AddedToken('<done>', normalized=False)])
    self.backend.save(str(self.folder / 'tokenizer.json'))
    done = self.id_of('<done>')
    self.write('generation_config.json', {'eos_token_id': done})
    tokenizer = tokens.load(self.folder)
    self.assertEqual(tokenizer.decode([*tokenizer.encode('so'), done]), 'so')

  def test_an_end_of_text_goes_on_stripping_the_spaces_to_its_right(self):
    done = AddedToken('<done>', normalized=False, rstrip=True)
    self.backend.add_tokens([done])
    self.backend.save(str(self.folder / 'tokenizer.json'))
    text = 'so<done>  so'
    wanted = self.backend.encode(text).ids
    self.config(eos_token='<done>')
    tokenizer = tokens.load(self.folder)
    self.assertEqual(
      tokenizer.encoding(tokenizer.marks.spell(text)).ids, wanted
    )
    self.assertEqual(tokenizer.backend.encode(text).ids, wanted)
    self.assertIn('<done>', tokenizer.special_ids)

  @parameterized.product(
    processor=(None, '$A', '<bos> $A', '<bos> $A <eos>'),
    says=({}, {'add_bos_token': True}, {'add_bos_token': False}),
  )
  def test_texts_open_as_transformers_opens_them(self, processor, says):
    if processor is not None:
      self.backend.post_processor = processors.TemplateProcessing(
        single=processor,
        special_tokens=[(n, self.id_of(n)) for n in ('<bos>', '<eos>')],
      )
      self.backend.save(str(self.folder / 'tokenizer.json'))
    self.config(tokenizer_class='PreTrainedTokenizerFast', **says)
    theirs = transformers.AutoTokenizer.from_pretrained(self.folder)
    tokenizer = tokens.load(self.folder)
    begun = [*tokenizer.opening, *tokenizer.encode('so it')]
    self.assertEqual(begun, theirs('so it').input_ids[: len(begun)])
    self.assertLen(tokenizer.opening, '<bos>' in (processor or ''))

  def test_tokens_that_only_the_config_knows_are_added(self):
    first = self.backend.get_vocab_size()
    entry = {'content': '<new>', 'special': True, 'normalized': False}
    self.config(
      tokenizer_class='PreTrainedTokenizerFast',
      added_tokens_decoder={str(first): entry},
    )
    self.write('added_tokens.json', {'<newer>': first + 1})
    tokenizer = tokens.load(self.folder)
    self.assertEqual(tokenizer.id_of('<new>'), first)
    self.assertEqual(tokenizer.id_of('<newer>'), first + 1)
    self.assertNotIn(first, tokenizer.encode('<new>'))
    theirs = transformers.AutoTokenizer.from_pretrained(self.folder)
    self.assertEqual(theirs.convert_tokens_to_ids('<new>'), first)

  def test_every_file_that_is_read_counts(self):
    self.write('generation_config.json', {})
    self.write('added_tokens.json', {})
    self.write('special_tokens_map.json', {})
    self.write('chat_template.jinja', CHATS)
    self.write('additional_chat_templates/tool_use.jinja', '')
    self.write('model.safetensors', '')
    self.assertCountEqual(
      [
        p.relative_to(self.folder).as_posix() for p in tokens.files(self.folder)
      ],
      [
        'tokenizer.json',
        'tokenizer_config.json',
        'generation_config.json',
        'added_tokens.json',
        'special_tokens_map.json',
        'chat_template.jinja',
        'additional_chat_templates/tool_use.jinja',
      ],
    )

  @parameterized.parameters(
    ({'chat_template': [{'name': 'default', 'template': CHATS}]}, {}),
    ({'chat_template': {'rag': 'x', 'default': CHATS}}, {}),
    ({'chat_template': 'x'}, {'chat_template.jinja': CHATS}),
    (
      {},
      {'additional_chat_templates/rag.jinja': 'x'}
      | {'chat_template.jinja': CHATS},
    ),
  )
  def test_of_several_templates_the_default_is_taken(self, config, files):
    self.config(**config)
    for name, text in files.items():
      self.write(name, text)
    self.assertEqual(tokens.load(self.folder).chat_template, CHATS)

  @parameterized.parameters((None,), ('',), ([],), ({},))
  def test_no_template_is_none(self, nothing):
    self.config(chat_template=nothing)
    self.assertEqual(tokens.load(self.folder).chat_template, '')

  @parameterized.named_parameters(
    (
      'no_default',
      {'chat_template': [{'name': 'rag', 'template': 'x'}]},
      "chat templates 'rag' and none called 'default'",
    ),
    ('template_number', {'chat_template': 5}, 'chat_template must be a text'),
    ('template_list', {'chat_template': ['x']}, "objects with 'name'"),
    ('eos_number', {'eos_token': 5}, 'eos_token must be the name.*not 5'),
    ('pad_list', {'pad_token': ['<pad>']}, 'pad_token must be the name'),
    ('no_eos', {'eos_token': None}, 'names no eos_token'),
    (
      'added_list',
      {'added_tokens_decoder': [1]},
      'added_tokens_decoder must map ids to',
    ),
    (
      'added_empty',
      {'added_tokens_decoder': {'9': {}}},
      'added_tokens_decoder must map ids to',
    ),
    (
      'added_elsewhere',
      {'added_tokens_decoder': {'9999': {'content': '<x>'}}},
      "'<x>' the id 9999, and in tokenizer.json",
    ),
  )
  def test_refuses_a_config_that_cannot_be(self, changes, sentence):
    self.config(**changes)
    with self.assertRaisesRegex(tokens.VocabularyError, sentence):
      tokens.load(self.folder)

  @parameterized.parameters(
    ('tokenizer.json', '{"model": ', 'tokenizer.json is no tokenizer'),
    ('tokenizer_config.json', '{"eos_token": ', 'tokenizer_config.json is no'),
    ('tokenizer_config.json', '[]', 'must hold an object'),
    ('special_tokens_map.json', 'x', 'special_tokens_map.json is no JSON'),
    ('added_tokens.json', '{"<x>": "y"}', 'must map ids'),
    ('generation_config.json', '', 'generation_config.json is no JSON'),
    ('generation_config.json', '{"eos_token_id": 99999}', '99999 is no token'),
    (
      'generation_config.json',
      '{"eos_token_id": "</s>"}',
      "'</s>' is no token",
    ),
    ('generation_config.json', '{"eos_token_id": [true]}', 'True is no token'),
  )
  def test_names_a_damaged_file(self, name, content, sentence):
    self.write(name, content)
    with self.assertRaisesRegex(tokens.VocabularyError, sentence):
      tokens.load(self.folder)

  def test_names_a_file_that_is_no_text(self):
    (self.folder / 'chat_template.jinja').write_bytes(b'\xff\xfe')
    with self.assertRaisesRegex(
      tokens.VocabularyError, 'chat_template.jinja cannot be read'
    ):
      tokens.load(self.folder)

  def test_says_what_to_do_without_tokenizer_json(self):
    (self.folder / 'tokenizer.json').rename(self.folder / 'tokenizer.model')
    with self.assertRaisesRegex(
      tokens.VocabularyError, 'no tokenizer.json in .*save_pretrained'
    ):
      tokens.load(self.folder)


if __name__ == '__main__':
  absltest.main()
