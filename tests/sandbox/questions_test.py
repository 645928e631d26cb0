"""The questions against arithmetic and the alphabet."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.sandbox import questions
from rlhf_jax.types import Message, Prompt

OPPOSITE = {
  'hot': 'cold',
  'big': 'small',
  'fast': 'slow',
  'old': 'new',
  'open': 'shut',
  'wet': 'dry',
}
OPPOSITE |= {b: a for a, b in OPPOSITE.items()}


def worked_out(text):
  """The answer, from the question's words alone."""
  match text.split():
    case [a, 'plus', b]:
      return str(int(a) + int(b))
    case [a, 'minus', b]:
      return str(int(a) - int(b))
    case ['the', 'larger', 'of', a, 'and', b]:
      return max(a, b, key=int)
    case ['the', 'smaller', 'of', a, 'and', b]:
      return min(a, b, key=int)
    case ['the', 'first', 'of', a, 'and', _]:
      return a
    case ['the', 'last', 'of', _, 'and', b]:
      return b
    case ['the', 'letter', 'after', letter]:
      return chr(ord(letter) + 1)
    case ['the', 'letter', 'before', letter]:
      return chr(ord(letter) - 1)
    case ['the', 'opposite', 'of', quality]:
      return OPPOSITE[quality]


class QuestionsTest(parameterized.TestCase):
  def test_answers_are_right(self):
    for question in questions.questions():
      self.assertEqual(question.answer, worked_out(question.text), question)

  def test_the_tempting_answer_is_wrong_and_possible(self):
    for question in questions.questions():
      self.assertNotEqual(question.tempting, question.answer)
      self.assertContainsSubset(
        {question.answer, question.tempting}, question.pool
      )

  # Sums to 9 and differences from 0: 10 + 9 + … + 1. Digits 1, 2 or 3 apart:
  # 9 + 8 + 7 pairs, in two orders, larger and smaller.
  @parameterized.parameters(
    ('sum', 55), ('difference', 55), ('compare', 96),
    ('list', 60), ('letter', 18), ('opposite', 12),
  )  # fmt: skip
  def test_there_are_so_many_of_a_kind(self, kind, count):
    of_kind = [q for q in questions.questions() if q.kind == kind]
    self.assertLen({q.text for q in of_kind}, count)
    self.assertLen(of_kind, count)
    # Evenly spread, so that an author's average over them is exact.
    np.testing.assert_allclose(
      sorted(q.difficulty for q in of_kind), (np.arange(count) + 0.5) / count
    )

  def test_every_prompt_is_read_back(self):
    prompts = questions.prompts()
    self.assertLen({prompt.text for prompt in prompts}, 296 * 4 * 2)
    asked = questions.read(Prompt((Message('user', 'i need 3 plus 4 . full'),)))
    self.assertEqual(asked.question.answer, '7')
    self.assertEqual(asked.style, 'full')
    for prompt in prompts:
      asked = questions.read(prompt)
      self.assertIn(asked.question.text, prompt.text)
      self.assertTrue(prompt.text.endswith(asked.style))
      self.assertEqual(prompt.kind, asked.question.kind)

  def test_a_strange_prompt_is_refused_by_name(self):
    strange = Prompt((Message('user', 'what is love ? brief'),))
    with self.assertRaisesRegex(ValueError, "no prompt 'what is love"):
      questions.read(strange)


if __name__ == '__main__':
  absltest.main()
