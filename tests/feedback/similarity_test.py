"""Similar texts by words and vectors, against definitions and by hand."""

import functools
import itertools
import types

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import similarity
from rlhf_jax.feedback.similarity import texts
from rlhf_jax.types import Message, Prompt


def ask(text='what ?'):
  return Prompt((Message('user', text),))


def between(similar, *responses, prompt=None):
  """The matrix of one prompt."""
  (matrix,) = similar([prompt or ask()], [responses], None)
  return matrix


def alike(similar, first, second):
  return bool(between(similar, first, second)[0, 1])


def table_of_common(first, second):
  """The textbook table of longest common subsequences."""
  table = np.zeros((len(first) + 1, len(second) + 1), int)
  for i, j in itertools.product(range(len(first)), range(len(second))):
    table[i + 1, j + 1] = (
      table[i, j] + 1
      if first[i] == second[j]
      else max(table[i, j + 1], table[i + 1, j])
    )
  return table[-1, -1]


def one_vector_a_letter(prompts, responses):
  return np.array([[t.count('a'), t.count('b')] for t in responses], float)


SIMILARITIES = {
  'exact': similarity.exact,
  'answer': functools.partial(similarity.answer, extract=similarity.final_text),
  'ngram': similarity.ngram,
  'rouge_l': similarity.rouge_l,
  'embedding': functools.partial(
    similarity.embedding, embed=one_vector_a_letter
  ),
}


class EverySimilarityTest(parameterized.TestCase):
  @parameterized.parameters(*SIMILARITIES)
  def test_is_symmetric_and_reflexive_on_equal_strings(self, name):
    rng = np.random.default_rng(0)
    pieces = ['a b c d', 'a', 'b b', '', '?', ' ', '#### 3', '#### 4', '####']
    listed = [
      [' '.join(rng.choice(pieces, 2)) for _ in range(12)] for _ in range(3)
    ]
    listed[1] += ['', '', '?', '?']
    asked = [ask('a'), ask('b'), ask('c')]
    found = SIMILARITIES[name](asked, listed, None)
    self.assertLen(found, 3)
    for matrix, responses in zip(found, listed, strict=True):
      self.assertEqual(matrix.shape, (len(responses),) * 2)
      self.assertEqual(matrix.dtype, bool)
      np.testing.assert_array_equal(matrix, matrix.T)
      same = np.array([[a == b for b in responses] for a in responses])
      self.assertTrue(matrix[same].all())
      self.assertFalse(matrix.all())

  @parameterized.parameters(*SIMILARITIES)
  def test_prompts_do_not_mix(self, name):
    listed = [['a a a', 'b b b', 'a a a a'], ['b b b', 'b b b b'], ['a']]
    asked = [ask('a'), ask('b'), ask('c')]
    together = SIMILARITIES[name](asked, listed, None)
    for prompt, responses, matrix in zip(asked, listed, together, strict=True):
      (alone,) = SIMILARITIES[name]([prompt], [responses], None)
      np.testing.assert_array_equal(matrix, alone)


class ExactTest(parameterized.TestCase):
  @parameterized.parameters(
    ('Paris', 'paris'),
    ('Paris.', ' paris !'),
    ('New  York\n', 'new york'),
    ('Straße', 'STRASSE'),
    ('ﬁne', 'fine'),  # A ligature.
    ('１２', '12'),  # Digits of full width.
    ('e\u0301', '\u00e9'),
    ('はい。', 'はい'),
  )
  def test_the_same(self, first, second):
    self.assertTrue(alike(similarity.exact, first, second))

  @parameterized.parameters(
    ('Paris', 'Paris, France'),
    ('-5', '5'),
    ('1.5', '15'),
    ('50%', '50'),
    ('.5', '5'),
    ('?', '!'),
    ('', '?'),
    ('ab', 'a b'),
  )
  def test_not_the_same(self, first, second):
    self.assertFalse(alike(similarity.exact, first, second))


class AnswerTest(parameterized.TestCase):
  def test_the_final_answer_counts(self):
    by_text = functools.partial(
      similarity.answer, extract=similarity.final_text
    )
    actual = between(
      by_text,
      'six and six\n#### Twelve.',
      'they are \\boxed{twelve}',
      '#### 13',
      'twelve',
      'twelve',
      'Twelve',
      '#### ',
      'so\n####',  # Nothing is no answer.
    )
    expected = np.eye(8, dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    expected[3, 4] = expected[4, 3] = True  # Equal strings, no answer.
    np.testing.assert_array_equal(actual, expected)

  def test_numbers(self):
    by_number = functools.partial(
      similarity.answer, extract=similarity.final_number
    )
    actual = between(
      by_number,
      'so 1,200 in all',
      'it is 1200.0 dollars',
      '5 of them make\n#### 1200',
      '1201',
      'none',
      'no number',
    )
    expected = np.eye(6, dtype=bool)
    expected[:3, :3] = True
    np.testing.assert_array_equal(actual, expected)

  @parameterized.parameters(
    ('3/4', '0.75'),
    ('1/3', '0.333333333333'),
    ('2 1/10', '2.1'),
    ('1e3', '1000'),
    ('$-0', '0'),
    ('#### none, of 3', '#### of 3.0'),
    ('#### 7 at most\nof 9', '7'),
  )
  def test_numbers_that_are_equal(self, first, second):
    by_number = functools.partial(
      similarity.answer, extract=similarity.final_number
    )
    self.assertTrue(alike(by_number, first, second))

  @parameterized.parameters(
    ('1/3', '0.3333'),
    ('100000000001', '100000000002'),
    ('of 3\n#### x', 'of 3\n#### y'),
  )
  def test_numbers_that_are_not(self, first, second):
    by_number = functools.partial(
      similarity.answer, extract=similarity.final_number
    )
    self.assertFalse(alike(by_number, first, second))

  def test_the_extractor_sees_the_prompt_and_each_string_once(self):
    seen = []

    def extract(prompt, text):
      seen.append((prompt.text, text))
      return text[0] if text else None

    found = similarity.answer(
      [ask('p'), ask('q')], [['xa', 'xb', 'xa', ''], ['xa']], None,
      extract=extract,
    )  # fmt: skip
    self.assertEqual(seen, [('p', 'xa'), ('p', 'xb'), ('p', ''), ('q', 'xa')])
    expected = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(found[0], np.array(expected, bool))


class NgramTest(parameterized.TestCase):
  @parameterized.parameters(
    # Pairs of words of the first: ab bc cd; of the second: ab bc ce.
    ('a b c d', 'a b c e', 2, 2 / 4),
    ('a b c d', 'a b c e', 1, 3 / 5),
    ('a b c d', 'a b c e', 3, 1 / 3),
    ('a b a b', 'b a b a', 2, 1.0),  # Sets: the count does not matter.
    ('A, b; c!', 'a b c', 3, 1.0),
    ('a b', 'a b', 3, 1.0),
    ('a b', 'a b c', 3, 0.0),  # Each is one run.
    ('a b', 'b a', 3, 0.0),
  )
  def test_the_threshold_is_met_and_then_not(self, first, second, n, share):
    # Not equal strings, which are similar whatever the share.
    first, second = first + ' ', second
    for threshold in (0.05, share, share + 1e-9):
      similar = functools.partial(similarity.ngram, n=n, threshold=threshold)
      expected = share >= threshold
      self.assertEqual(alike(similar, first, second), expected, threshold)

  def test_texts_without_words_share_nothing(self):
    self.assertFalse(alike(similarity.ngram, '?', '!'))
    self.assertFalse(alike(similarity.ngram, '', '!'))


class RougeTest(parameterized.TestCase):
  @parameterized.parameters(
    ('a b c d', 'a c d e', 6 / 8),
    ('a b c', 'c b a', 2 / 6),
    ('a x b y c', 'a b c', 6 / 8),
    ('The cat.', 'the CAT', 1.0),
    ('a a a', 'a', 2 / 4),
    ('a', 'b', 0.0),
  )
  def test_the_threshold_is_met_and_then_not(self, first, second, share):
    for threshold in (0.05, share, share + 1e-9):
      similar = functools.partial(similarity.rouge_l, threshold=threshold)
      expected = share >= threshold
      self.assertEqual(alike(similar, first, second), expected, threshold)

  def test_texts_without_words_share_nothing(self):
    self.assertFalse(alike(similarity.rouge_l, '?', '!'))
    self.assertFalse(alike(similarity.rouge_l, '', 'a'))

  @parameterized.parameters((0, 5), (1, 1), (7, 4), (40, 40), (130, 70))
  def test_longest_common_subsequence(self, length, other):
    rng = np.random.default_rng([length, other])
    for letters in (2, 5, 30):
      first = rng.integers(letters, size=length).tolist()
      second = rng.integers(letters, size=other).tolist()
      actual = texts.longest_common(first, second)
      self.assertEqual(actual, table_of_common(first, second))


class EmbeddingTest(parameterized.TestCase):
  def test_cosine_against_the_threshold(self):
    # Vectors at 0, 45 and 90 degrees, of several lengths, and one of none.
    responses = ['a', 'aabb', 'ab', 'bbb', 'c']
    cosine = [
      [1, 0.5**0.5, 0.5**0.5, 0, 0],
      [0.5**0.5, 1, 1, 0.5**0.5, 0],
      [0.5**0.5, 1, 1, 0.5**0.5, 0],
      [0, 0.5**0.5, 0.5**0.5, 1, 0],
      [0, 0, 0, 0, 1],
    ]
    for threshold in (0.9, 0.70, 0.71):
      similar = functools.partial(
        similarity.embedding, embed=one_vector_a_letter, threshold=threshold
      )
      with np.errstate(all='raise'):
        actual = between(similar, *responses)
      np.testing.assert_array_equal(actual, np.array(cosine) >= threshold)

  def test_each_string_is_embedded_once_for_all_prompts_at_once(self):
    calls = []

    def embed(prompts, responses):
      calls.append(
        [(p.text, t) for p, t in zip(prompts, responses, strict=True)]
      )
      return one_vector_a_letter(prompts, responses)

    queries = types.SimpleNamespace(embed=embed)
    listed = [['a', 'b', 'a'], ['a', 'aa']]
    found = similarity.embedding([ask('p'), ask('q')], listed, queries)
    self.assertEqual(calls, [[('p', 'a'), ('p', 'b'), ('q', 'a'), ('q', 'aa')]])
    np.testing.assert_array_equal(
      found[0], np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool)
    )
    np.testing.assert_array_equal(found[1], True)

  def test_what_is_given_goes_before_the_tools(self):
    queries = types.SimpleNamespace(embed=None)
    (matrix,) = similarity.embedding(
      [ask()], [['a', 'aa']], queries, embed=one_vector_a_letter
    )
    self.assertTrue(matrix.all())

  @parameterized.parameters(((2,),), ((1, 3),), ((2, 3, 1),))
  def test_refuses_what_is_no_vector_for_each(self, shape):
    with self.assertRaisesRegex(ValueError, r'2 responses .*\(2, D\)'):
      similarity.embedding(
        [ask()], [['a', 'b']], None, embed=lambda *_: np.ones(shape)
      )


if __name__ == '__main__':
  absltest.main()
