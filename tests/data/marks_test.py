"""A tokenizer whose marks have secret names is the same tokenizer."""

import json

import tokenizers
from absl.testing import parameterized
from tokenizers import AddedToken, models, pre_tokenizers

from rlhf_jax.data import marks
from tests.data import families


def unigram():
  pieces = [('<unk>', 0.0), ('</s>', -1.0), ('▁', -2.0)]
  pieces += [(letter, -5.0) for letter in '</s>ab']
  backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
  backend.pre_tokenizer = pre_tokenizers.Metaspace()
  backend.add_special_tokens(['<unk>', '</s>'])
  return backend


def word_piece():
  words = ['[UNK]', '[CLS]', '[SEP]', 'a', '##b', '[', ']', 'CLS', 'SEP']
  model = models.WordPiece(
    {word: i for i, word in enumerate(words)}, unk_token='[UNK]'
  )
  backend = tokenizers.Tokenizer(model)
  backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  backend.add_special_tokens(['[UNK]', '[CLS]', '[SEP]'])
  return backend


def merging():
  """A BPE whose merges would spell a mark, and go on from it."""
  letters = ['<', 's', '>', 'a', 's>', '<s>', '<s>a']
  merges = [('s', '>'), ('<', 's>'), ('<s>', 'a')]
  backend = tokenizers.Tokenizer(
    models.BPE({letter: i for i, letter in enumerate(letters)}, merges)
  )
  backend.add_special_tokens(['<s>'])
  return backend


class MarksTest(parameterized.TestCase):
  @parameterized.parameters(
    (families.byte_level(['<s>', '<|u|>']), ['<s>a<|u|>', ' a<s> b\n', 'é🙂']),
    (families.sentencepiece(['<|u|>']), ['<s>a <|u|>b', ' a</s> b', '<unk>']),
    (unigram(), ['</s>ab a', 'a</s>']),
    (word_piece(), ['[CLS]ab[SEP] a', 'zz[SEP]']),
    (merging(), ['a<s>a', 'a']),
  )
  def test_spelt_by_secret_names_the_ids_are_the_same(self, backend, texts):
    subject = marks.Marks(backend)
    for text in texts:
      spelt = subject.spell(text)
      self.assertEqual(
        subject.backend.encode(spelt, add_special_tokens=False).ids,
        backend.encode(text, add_special_tokens=False).ids,
      )
      self.assertEqual(subject.read(spelt), text)
      self.assertEqual(subject.found(spelt), subject.typed(text))

  @parameterized.parameters(
    (families.byte_level(['<s>', '<|u|>']), 'a<s><|u|>'),
    (unigram(), 'a</s>'),
    (word_piece(), '[CLS]a'),
    (merging(), '<s>a'),
  )
  def test_typed_as_they_are_they_are_text(self, backend, text):
    subject = marks.Marks(backend)
    ids = subject.backend.encode(text, add_special_tokens=False).ids
    self.assertNoCommonElements(ids, list(subject.names))
    self.assertNotEmpty(ids)

  def test_words_and_spaces_that_were_added_are_vocabulary(self):
    added = ['<a>', '[B]', '<｜C｜>', 'covid', '\n\n', '▁▁', '  ', '7']
    backend = families.byte_level([], ordinary=added)
    subject = marks.Marks(backend)
    self.assertEqual([*subject.names.values()], ['<a>', '[B]', '<｜C｜>'])
    text = 'covid\n\n7  '
    self.assertEqual(subject.backend.encode(text).ids, backend.encode(text).ids)

  def test_the_longest_name_is_the_mark(self):
    backend = families.byte_level(['<a>', '<a>|>', '<a>|'])
    subject = marks.Marks(backend)
    self.assertEqual(subject.typed('<a>|><a>'), ['<a>|>', '<a>'])

  def test_a_whole_word_is_a_mark_where_it_stands_alone(self):
    token = AddedToken('<a>', single_word=True, normalized=False)
    backend = families.byte_level([], ordinary=[token])
    subject = marks.Marks(backend)
    for text, found in (('b <a> b', ['<a>']), ('b<a>b', []), ('-<a>', ['<a>'])):
      self.assertEqual(subject.typed(text), found)
      self.assertEqual(
        subject.backend.encode(subject.spell(text)).ids,
        backend.encode(text).ids,
      )

  def test_nothing_in_a_tokenizer_makes_ids_depend_on_more_than_the_text(self):
    backend = families.byte_level(['<s>'])
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    backend.model.dropout = 0.5
    spec = marks.renamed(json.loads(backend.to_str()), {})
    self.assertEqual((spec['truncation'], spec['padding']), (None, None))
    self.assertIsNone(spec['model']['dropout'])
