"""Verdicts: what is right, and where in a text it is said."""

from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.data import templates
from rlhf_jax.sandbox import verdicts
from rlhf_jax.types import Message, Prompt

ASKED = 'what is 6 plus 2 ? brief'
PROMPT = Prompt((Message('user', ASKED),), 'sum')
TOKENIZER = sandbox.tokenizer(sandbox.VERDICT_WORDS)


def ids(text):
  return [TOKENIZER.id_of(word) for word in text.split()]


class VerdictsTest(parameterized.TestCase):
  @parameterized.parameters(
    ('sure , it is 8 .', 'right'),
    ('it is 9 .', 'wrong'),
    ('8 or 7 .', 'wrong'),  # Two answers are not one.
    ('sure , thanks for asking .', 'wrong'),
  )
  def test_the_right_answer_alone_is_right(self, said, verdict):
    self.assertEqual(verdicts.judged(PROMPT, said).response, verdict)

  def test_it_is_said_right_after_the_end_of_the_answer(self):
    record = verdicts.judged(PROMPT, 'it is 8 .')
    parts = verdicts.TEMPLATE.parts(record.prompt, TOKENIZER)
    end = verdicts.TEMPLATE.end_id(TOKENIZER)
    self.assertEqual(parts.ids, [*ids(f'{ASKED} it is 8 .'), end])
    said = verdicts.TEMPLATE.encode_response(record.prompt, 'right', TOKENIZER)
    self.assertEqual(said, ids('right'))
    self.assertEqual(record.prompt.kind, 'sum')

  def test_one_turn_is_contents_alone(self):
    one = verdicts.TEMPLATE.parts(PROMPT, TOKENIZER)
    self.assertEqual(one, templates.PLAIN.parts(PROMPT, TOKENIZER))

  def test_as_many_are_right_as_of_the_author(self):
    world = sandbox.World(verdicts=4000, words=sandbox.VERDICT_WORDS)
    records = world.load('').datasets['verdicts']
    right = [r.response == 'right' for r in records]
    # 0.65 know it; 0.2 of these hedge, a third of them with two answers; 0.05
    # of texts have a mishap, which spoils most.
    expected = 0.65 * (1 - 0.2 / 3) * (1 - 0.05)
    self.assertLen(records, 4000)
    self.assertAlmostEqual(sum(right) / 4000, expected, delta=0.03)


if __name__ == '__main__':
  absltest.main()
