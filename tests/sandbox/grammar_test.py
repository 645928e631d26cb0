"""The parser on what authors write, and on anything else."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.sandbox import grammar


def forms(text):
  return [part.form for part in grammar.parse(text).parts]


class GrammarTest(parameterized.TestCase):
  def test_a_response_is_read_into_its_parts(self):
    text = 'sure , it is 8 . because counting gives 8 . hope that helps .'
    parts = grammar.parse(text)
    self.assertEqual(forms(text), ['opener', 'answer', 'reason', 'closer'])
    self.assertEqual(parts.answers, ('8', '8'))
    self.assertEqual(parts.words, 15)
    self.assertLen(parts.of(grammar.REASON), 1)

  def test_what_is_said_is_read_back(self):
    for phrase in grammar.PHRASES:
      (part,) = grammar.parse(grammar.say(phrase, 'red', '3')).parts
      blanks = phrase.pattern.split().count('_')
      self.assertEqual(part, (phrase.form, phrase, ('red', '3')[:blanks]))

  @parameterized.parameters(
    ('', []),
    ('it is 8', ['broken']),  # Unfinished.
    ('it is 8 ,', ['broken']),  # An opener's mark.
    ('sure . it is 8 .', ['broken', 'answer']),
    ('it is _ .', ['broken']),  # A blank is no answer.
    ('it is 8 9 .', ['broken']),
    (', . .', ['broken'] * 3),
    ('8 . 8', ['answer', 'broken']),
    ('Ünicode\n\t8 .', ['broken']),
  )
  def test_what_fits_no_phrase_is_broken(self, text, expected):
    self.assertEqual(forms(text), expected)

  def test_any_babble_is_read_and_rated(self):
    rng = np.random.default_rng(0)
    words = np.array(sandbox.vocabulary())
    prompts = sandbox.prompts()
    for _ in range(2000):
      # Marks are made frequent, so that whole phrases come about too.
      babble = rng.choice(words, size=rng.integers(0, 24)).tolist()
      babble = [',.'[rng.integers(2)] if rng.random() < 0.2 else w
                for w in babble]  # fmt: skip
      prompt = prompts[rng.integers(len(prompts))]
      text = ' '.join(babble)
      marks = sum(word in (',', '.') for word in babble)
      unfinished = bool(babble) and babble[-1] not in (',', '.')
      parts = sandbox.parse(text)
      self.assertLen(parts.parts, marks + unfinished)
      self.assertEqual(parts.words, len(babble))
      for level in sandbox.attributes(prompt, text):
        self.assertIsInstance(level, int)
        self.assertBetween(level, 0, 4)
      self.assertTrue(np.isfinite(sandbox.gold([prompt], [text])).all())

  @parameterized.parameters(
    ('sure , it is 8 . because counting gives 8 .', '7 . hope that helps .',
     'sure , it is 7 . because counting gives 7 .'),
    ('it is 8 .', 'well , 8 .', 'it is 8 .'),
    ('it is 8 .', '7 or 8 .', None),
    ('8 or 7 .', 'it is 6 .', None),
    ('hope that helps .', 'it is 6 .', None),
    ('it is 8 .', 'hope that helps .', None),
  )  # fmt: skip
  def test_a_text_says_what_another_says(self, text, other, expected):
    self.assertEqual(sandbox.restated(text, other), expected)


if __name__ == '__main__':
  absltest.main()
