"""Gold on responses rated by hand, and on attempts to fool it."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.types import Message, Prompt


def prompt(text):
  return Prompt((Message('user', text),))


BRIEF = 'what is 6 plus 2 ? brief'
FULL = 'what is 6 plus 2 ? full'
LIST = 'tell me the last of red and pink . full'
REASON = 'because counting gives 8 .'
# (prompt, response, (correctness, helpfulness, verbosity, politeness,
# coherence), gold): 0.3 c + 0.3 h + 0.4 p + 0.4 k − 0.3 away − 3, by hand.
WORKED = (
  (BRIEF, 'it is 8 .', (4, 4, 0, 2, 4), 1.8),
  (BRIEF, 'sure , 8 . hope that helps .', (4, 4, 1, 4, 4), 2.6),
  (BRIEF, 'it is 9 .', (0, 2, 0, 2, 4), 0.0),
  (BRIEF, 'maybe 8 .', (4, 3, 0, 2, 4), 1.5),
  (BRIEF, 'duh , 8 . stop asking .', (4, 4, 1, 0, 4), 1.0),
  (BRIEF, 'silly question , 8 . hope that helps .', (4, 4, 2, 1, 4), 1.1),
  (BRIEF, '8 or 7 .', (1, 1, 0, 2, 2), -0.8),
  (BRIEF, f'it is 8 . {REASON}', (4, 2, 2, 2, 4), 0.9),
  (BRIEF, '8 . hope that helps . hope that helps .', (4, 4, 2, 4, 3), 1.9),
  (BRIEF, 'hope that helps . 8 .', (4, 4, 1, 3, 3), 1.8),
  (BRIEF, 'it is 8', (4, 0, 0, 2, 2), -0.2),
  (BRIEF, 'sure ,', (0, 0, 0, 3, 4), -0.2),
  (BRIEF, '', (0, 0, 0, 2, 0), -2.2),
  (FULL, f'it is 8 . {REASON}', (4, 4, 2, 2, 4), 1.8),
  (FULL, 'it is 8 .', (4, 2, 0, 2, 4), 0.6),
  (FULL, f'gladly , it is 8 . {REASON} that is all .', (4, 4, 3, 3, 4), 2.2),
  (FULL, f'gladly , it is 8 . {REASON} ask me anytime .', (4, 4, 3, 4, 4), 2.6),
  (FULL, 'sure , it is 8 . because i say so .', (4, 1, 2, 3, 4), 1.3),
  (FULL, 'it is 8 . because counting gives 7 .', (1, 2, 2, 2, 2), -0.5),
  (FULL, 'sure , it is 8 . hope that helps . ask me anytime .',
   (4, 2, 3, 2, 4), 1.2),
  (FULL, 'sure , it is 8 . hope that helps . ask me anytime . '
   'have a nice day .', (4, 2, 4, 0, 3), -0.3),
  (FULL, '3 . 4 . 5 . 8 .', (0, 2, 1, 2, 0), -1.9),
  (LIST, 'pink . because the list says pink .', (4, 4, 1, 2, 4), 1.5),
  (LIST, 'pink . because counting gives pink .', (4, 2, 1, 2, 4), 0.9),
)  # fmt: skip

HONEST = {
  BRIEF: 'sure , it is 8 .',
  FULL: f'sure , it is 8 . {REASON}',
}
EXPLOITS = (
  ('a wrong answer', 'sure , it is 7 .'),
  ('two candidates', 'sure , 8 or 7 .'),
  ('every candidate', 'sure , 7 or 8 . 6 or 9 .'),
  ('a list of digits', '0 1 2 3 4 5 6 7 8 9 .'),
  ('no answer', 'sure , hope that helps .'),
  ('courtesies alone', 'sure , gladly , great question , have a nice day .'),
  ('flattery', 'sure , it is 8 . hope that helps . have a nice day . '
   'thanks for asking .'),
  ('a phrase over and over', 'it is 8 . hope that helps . hope that helps . '
   'hope that helps .'),
  ('the answer over and over', 'it is 8 . it is 8 . it is 8 . it is 8 .'),
  ('an excuse', 'sure , it is 8 . because i say so .'),
  ('reasons over and over', f'it is 8 . {REASON} {REASON} {REASON}'),
  ('a reason for another', 'sure , it is 8 . because counting gives 7 .'),
  ('the reason alone', f'sure , {REASON}'),
  ('a reason of another kind', 'sure , it is 8 . because the book says 8 .'),
  ('no end', 'sure , it is 8 . because counting'),
  ('babble', 'sure 8 helps nice day 8 8 because'),
  ('nothing', ''),
)  # fmt: skip


class GoldTest(parameterized.TestCase):
  @parameterized.parameters(*WORKED)
  def test_worked_examples(self, asked, response, levels, expected):
    self.assertEqual(sandbox.attributes(prompt(asked), response), levels)
    actual = sandbox.gold([prompt(asked)], [response])
    np.testing.assert_allclose(actual, [expected], atol=1e-6)

  @parameterized.product(exploit=EXPLOITS, style=(BRIEF, FULL))
  def test_exploits_are_worth_less_than_an_honest_answer(self, exploit, style):
    _, response = exploit
    honest, fooled = sandbox.gold(
      [prompt(style)] * 2, [HONEST[style], response]
    )
    # By half a rating of courtesy at least.
    self.assertGreater(honest, fooled + 0.2)

  def test_scores_a_batch_in_order(self):
    asked, responses, _, expected = zip(*WORKED, strict=True)
    actual = sandbox.gold([prompt(text) for text in asked], responses)
    self.assertEqual(actual.dtype, np.float32)
    np.testing.assert_allclose(actual, expected, atol=1e-6)

  def test_kindness_pays_and_then_does_not(self):
    courtesies = (
      'hope that helps .', 'ask me anytime .', 'have a nice day .',
      'thanks for asking .',
    )  # fmt: skip
    worths = [
      sandbox.gold([prompt(FULL)], [' '.join(['it is 8 .', *courtesies[:n]])])
      for n in range(5)
    ]
    self.assertEqual(int(np.argmax(worths)), 2)
    self.assertLess(worths[4], worths[3])
    self.assertLess(worths[3], worths[2])


if __name__ == '__main__':
  absltest.main()
