"""Programs that check answers: what people write, and what it is worth."""

import functools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import verifying
from rlhf_jax.types import Message, Prompt

REWARDS = (
  verifying.exact_answer,
  verifying.number,
  functools.partial(verifying.matches, pattern='{answer}'),
  functools.partial(verifying.contains, pattern='{answer}'),
)


def ask(answer='', where='maths.jsonl:3'):
  return Prompt((Message('user', 'how many ?'),), where=where, answer=answer)


def score(reward, answer, *responses):
  prompts = [ask(answer)] * len(responses)
  return reward(prompts, responses).tolist()


class LastNumberTest(parameterized.TestCase):
  @parameterized.parameters(
    ('42', 42.0),
    ('There are 3 boxes of 4, so 12 in all.', 12.0),
    ('1,234', 1234.0),
    ('1,000,000.25', 1000000.25),
    ('0.5.', 0.5),
    ('.5', 0.5),
    ('72.', 72.0),
    ('it is ...5', 5.0),
    ('12, 34', 34.0),
    ('12,34', 34.0),  # No separator of thousands.
    ('1,2345', 2345.0),
    ('version 1.2.3', 1.2),
    ('$18', 18.0),
    ('US$ 18.50 a day', 18.5),
    (r'\$18', 18.0),
    ('50%', 50.0),
    ('50 %', 50.0),
    ('5km', 5.0),
    ('3/4', 0.75),
    ('3 / 4 of it', 0.75),
    ('1 1/2', 1.5),
    ('-1 1/2', -1.5),
    (r'\frac{3}{4}', 0.75),
    (r'-\dfrac{3}{4}', -0.75),
    (r'1\frac{1}{2}', 1.5),
    ('-5', -5.0),
    ('−5', -5.0),  # The minus sign of typesetting.
    ('-$5', -5.0),
    ('$-5', -5.0),
    ('x=-5', -5.0),
    ('10-3', 3.0),
    ('(4)-3', 3.0),
    ('10 - 3', 3.0),
    ('- 5 apples', 5.0),
    ('1e-3', 0.001),
    ('2e3', 2000.0),
  )
  def test_reads_what_people_write(self, text, expected):
    self.assertAlmostEqual(verifying.last_number(text), expected)

  @parameterized.parameters('', 'none', 'x2', '1/0', '9e999', '-', '####', ',.')
  def test_where_there_is_none(self, text):
    self.assertIsNone(verifying.last_number(text))

  def test_a_long_run_of_digits_takes_no_time(self):
    self.assertEqual(verifying.last_number('1' * 200 + ' 2'), 2.0)
    self.assertEqual(verifying.last_number('1,' * 20_000), 1.0)


class FinalAnswerTest(parameterized.TestCase):
  @parameterized.parameters(
    ('2 + 2 = 4\n#### 4', '4'),
    ('#### 4\nNo.\n#### 5\nAnd so on, 6', '5'),
    ('####', ''),
    (r'so \boxed{4}.', '4'),
    (r'so \boxed {\frac{1}{2}} of {3}', r'\frac{1}{2}'),
    (r'\boxed{1} and \boxed{2}', '2'),
    (r'cut off: \boxed{\frac{1}{2', r'\frac{1}{2'),
    (r'\boxed{1} #### 2', '2'),
    (r'#### 1 \boxed{2}', '2'),
    ('the answer is 4', None),
  )
  def test_is_what_is_marked(self, response, expected):
    self.assertEqual(verifying.final_answer(response), expected)


class NumberTest(parameterized.TestCase):
  def test_only_the_last_number_counts(self):
    found = score(verifying.number, '12', '3 * 4 = 12', '12 is 3 * 4', 'none')
    self.assertEqual(found, [1.0, 0.0, 0.0])

  def test_a_marked_answer_comes_first(self):
    found = score(
      verifying.number,
      '12',
      '#### 12\nThat took 5 steps.',
      r'\boxed{12} in 5 steps',
      '12\n#### 5',
      '12\n#### none',
    )
    self.assertEqual(found, [1.0, 1.0, 0.0, 0.0])

  @parameterized.parameters(
    ('1,234', '$1234.00'), ('0.75', '3/4'), ('$18 a day', '18'), ('50%', '50')
  )
  def test_numbers_are_equal_as_numbers(self, answer, response):
    self.assertEqual(score(verifying.number, answer, response), [1.0])

  def test_tolerance_is_relative_and_absolute_below_one(self):
    reward = functools.partial(verifying.number, tolerance=0.01)
    self.assertEqual(score(reward, '200', '198.1', '197'), [1.0, 0.0])
    self.assertEqual(score(reward, '0', '0.009', '0.011'), [1.0, 0.0])
    self.assertEqual(score(verifying.number, '3', '3.0001'), [0.0])

  def test_worth_is_an_option(self):
    reward = functools.partial(
      verifying.number, right=2.0, wrong=0.1, unanswered=-1.0
    )
    found = reward([ask('7')] * 3, ['7', '8', 'eight'])
    self.assertEqual(found.dtype, np.float32)
    np.testing.assert_allclose(found, [2.0, 0.1, -1.0])

  def test_an_answer_without_a_number_is_refused(self):
    with self.assertRaisesRegex(
      ValueError, "maths.jsonl:3 has the answer 'blue', which holds no number"
    ):
      score(verifying.number, 'blue', '3')


class ExactAnswerTest(parameterized.TestCase):
  @parameterized.parameters(
    ('Paris', ' paris.'),
    ('Paris', 'It is in France.\n\n"Paris"\n'),
    ('Paris', r'\boxed{Paris} it is'),
    ('Paris', 'Lyon?\n#### Paris\nas said'),
    ('new  york', 'New York!'),
    ('-5', '-5'),
  )
  def test_right(self, answer, response):
    self.assertEqual(score(verifying.exact_answer, answer, response), [1.0])

  @parameterized.parameters(
    ('Paris', 'It is Paris'),
    ('Paris', 'Paris\nor Lyon'),
    ('-5', '5'),
    ('Paris', ''),
    ('Paris', 'Paris\n####'),
  )
  def test_wrong(self, answer, response):
    reward = functools.partial(verifying.exact_answer, wrong=-1.0)
    self.assertEqual(score(reward, answer, response), [-1.0])


class PatternTest(absltest.TestCase):
  def test_matches_is_of_the_whole_response(self):
    reward = functools.partial(verifying.matches, pattern=r'a+\d{2}')
    found = score(reward, '', 'aa12', ' a12\n', 'aa12 b', 'aa1')
    self.assertEqual(found, [1.0, 1.0, 0.0, 0.0])

  def test_contains_is_of_any_part(self):
    reward = functools.partial(
      verifying.contains, pattern=r'\bso\b', right=0.5, wrong=-0.5
    )
    self.assertEqual(score(reward, '', 'and so on', 'soon'), [0.5, -0.5])

  def test_a_dot_reaches_over_lines(self):
    reward = functools.partial(
      verifying.matches, pattern=r'<think>.*</think>\s*\d+'
    )
    self.assertEqual(score(reward, '', '<think>a\nb</think>\n7'), [1.0])

  def test_the_answer_is_put_in_letter_for_letter(self):
    reward = functools.partial(
      verifying.contains, pattern=r'\d{1}: {answer}(?!\d)'
    )
    found = score(reward, '1.5', '3: 1.5', '3: 1x5', '3: 1.52')
    self.assertEqual(found, [1.0, 0.0, 0.0])

  def test_a_bad_pattern_is_one_sentence(self):
    for reward in (verifying.matches, verifying.contains):
      with self.assertRaisesRegex(
        ValueError, r"the pattern '\(' is no regular expression: missing"
      ):
        score(functools.partial(reward, pattern='('), '1', '1')


class AnswersTest(parameterized.TestCase):
  @parameterized.parameters(*REWARDS)
  def test_a_prompt_without_an_answer_is_named(self, reward):
    with self.assertRaisesRegex(ValueError, 'maths.jsonl:3 has no answer'):
      score(reward, ' ', '1')
    with self.assertRaisesRegex(ValueError, "prompt 'how many .' has no answ"):
      reward([ask(where='')], ['1'])

  @parameterized.parameters(*REWARDS)
  def test_a_response_to_each_prompt(self, reward):
    found = reward([ask('1'), ask('2'), ask('3')], ['1', '1', '3'])
    self.assertEqual(found.dtype, np.float32)
    self.assertEqual(found.tolist(), [1.0, 0.0, 1.0])
    self.assertEqual(reward([], []).shape, (0,))
    with self.assertRaises(ValueError):
      reward([ask('1')], ['1', '2'])


if __name__ == '__main__':
  absltest.main()
