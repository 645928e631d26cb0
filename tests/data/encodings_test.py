"""Texts together are encoded as each alone."""

from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.data import tokens
from rlhf_jax.data.encodings import Encodings
from rlhf_jax.data.marks import Marks
from tests.data import families

WORDS = tokens.word_level(['what', 'is', '6'])


class EncodingsTest(parameterized.TestCase):
  def test_each_as_alone_and_once(self):
    subject = tokens.train_bpe(['the cat sat'] * 9, vocab_size=280)
    texts = ['the cat', '', 'sat\n', 'the cat', '🙂']
    with mock.patch.object(
      tokens.Tokenizer,
      'encode_all',
      autospec=True,
      side_effect=tokens.Tokenizer.encode_all,
    ) as asked:
      found = Encodings(subject, texts)
    asked.assert_called_once_with(subject, ['the cat', '', 'sat\n', '🙂'])
    self.assertEqual(
      [found[text] for text in texts], list(map(subject.encode, texts))
    )
    offsets = found.offsets(['sat\n', '🙂'])
    self.assertEqual((offsets[0][0], offsets[-1][1]), (0, 5))

  def test_what_cannot_be_encoded_is_said_where_it_is_asked_for(self):
    found = Encodings(WORDS, ['what is', 'whta is', 'is \ud800'])
    self.assertEqual(found['what is'], [0, 1])
    for _ in range(2):
      with self.assertRaisesRegex(
        tokens.VocabularyError, "'whta' in 'whta is'"
      ):
        _ = found['whta is']
    with self.assertRaisesRegex(tokens.VocabularyError, 'half a character'):
      _ = found['is \ud800']


class ApartTest(parameterized.TestCase):
  @parameterized.parameters(
    ('mistral', False),  # Another first word.
    ('phi_3', False),  # Marks that take the spaces to their right.
    ('llama_2', True),
    ('gemma', True),
    ('qwen_3', True),
    ('deepseek', True),
    ('smollm_2', True),
  )
  def test_where_what_is_between_marks_stands_alone(self, name, apart):
    backend = families.CHAT[name]().backend
    self.assertEqual(Marks(backend).apart, apart)


if __name__ == '__main__':
  absltest.main()
