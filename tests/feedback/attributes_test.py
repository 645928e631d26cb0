"""Attributes as text: the published string, and what is refused."""

from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.feedback.attributes import Scale, Steering

# The example of the SteerLM paper, on its scale of ten levels.
PAPER = Scale(
  names=(
    'quality',
    'toxicity',
    'humor',
    'creativity',
    'violence',
    'helpfulness',
    'not_appropriate',
  ),
  levels=10,
)
PUBLISHED = (
  'quality:6,toxicity:0,humor:9,creativity:0,violence:0,helpfulness:5,'
  'not_appropriate:0'
)
VALUES = {
  'not_appropriate': 0,
  'helpfulness': 5,
  'quality': 6,
  'toxicity': 0,
  'humor': 9,
  'creativity': 0,
  'violence': 0,
}
SMALL = Scale(names=('quality', 'toxicity'))
SPELT = Scale(names=('verbosity', 'politeness'), spelling=sandbox.spell)


class ScaleTest(parameterized.TestCase):
  def test_writes_the_published_string_whatever_the_order(self):
    self.assertEqual(PAPER.encode(VALUES), PUBLISHED)
    self.assertEqual(PAPER.parse(PUBLISHED), VALUES)
    self.assertEqual(PAPER.condition(VALUES), f'<extra_id_2>{PUBLISHED}\n')
    self.assertEqual(PAPER.conditioned_on(PAPER.condition(VALUES)), VALUES)

  def test_missing_attributes_are_left_out(self):
    self.assertEqual(
      PAPER.encode({'humor': 3, 'quality': 1}), 'quality:1,humor:3'
    )
    self.assertEqual(
      PAPER.parse('quality:1,humor:3'), {'quality': 1, 'humor': 3}
    )

  def test_a_vocabulary_of_words_has_spaces_between(self):
    values = {'verbosity': 3, 'politeness': 0}
    self.assertEqual(SPELT.encode(values), 'verbosity: 3 , politeness: 0')
    text = SPELT.condition(values)
    self.assertEqual(
      ' '.join(text.split()), '<extra_id_2> verbosity: 3 , politeness: 0'
    )
    self.assertEqual(SPELT.conditioned_on(text), values)
    # What comes back from ids has one space between words and no new line.
    self.assertEqual(SPELT.conditioned_on(' '.join(text.split())), values)
    self.assertEqual(
      ' '.join(SPELT.question('it is 8 .').split()), 'it is 8 . <extra_id_2>'
    )

  def test_a_question_is_the_response_and_then_the_marker(self):
    self.assertEqual(PAPER.question('Yes.'), 'Yes.\n<extra_id_2>')

  @parameterized.parameters(
    '',
    'quality',
    'quality:',
    'quality:5',  # Levels are 0 to 4.
    'quality:-1',
    'quality:01',
    'quality:1.0',
    'humor:1',
    'toxicity:0,quality:1',
    'quality:1,quality:1',
    'quality:1,',
    'quality:1;toxicity:0',
    'quality:1,toxicity:0 and so on',
  )
  def test_malformed_text_is_none(self, text):
    self.assertIsNone(SMALL.parse(text))
    self.assertIsNone(SMALL.conditioned_on(f'<extra_id_2>{text}\n'))

  def test_other_conditions_are_none(self):
    self.assertIsNone(SMALL.conditioned_on(''))
    self.assertIsNone(SMALL.conditioned_on('<rm_score>: 1.0'))
    self.assertIsNone(SMALL.conditioned_on('quality:1,toxicity:0'))

  @parameterized.parameters(
    ({'quality': 9}, 'quality:9 is not on the scale: .* from 0 to 4'),
    ({'quality': -1}, 'quality:-1 is not on the scale'),
    ({'quality': 1.5}, 'quality(:| is )1.5.*(on the scale|a whole number)'),
    ({'humour': 1}, "no attribute 'humour' here; there are quality, toxicity"),
  )
  def test_what_is_off_the_scale_is_refused(self, values, message):
    with self.assertRaisesRegex(ValueError, message):
      SMALL.encode(values)
    with self.assertRaisesRegex(ValueError, message):
      Steering(scale=SMALL, values=values)

  @parameterized.parameters(
    ({'names': ()}, 'names are none'),
    ({'names': ('a', 'a')}, 'names are a, a'),
    ({'names': ('a b',)}, "'a b' cannot be told"),
    ({'names': ('a:b',)}, "'a:b' cannot be told"),
    ({'names': ('a,b',)}, "'a,b' cannot be told"),
    ({'names': ('a',), 'levels': 1}, 'levels is 1'),
  )
  def test_scales_that_cannot_be_read_are_refused(self, fields, message):
    with self.assertRaisesRegex(ValueError, message):
      Scale(**fields)

  def test_halves_go_to_the_even_level(self):
    # 0.125, 0.375, 0.625 and 0.875 of four levels.
    names = ('a', 'b', 'c', 'd')
    scale = Scale(names=names)
    halves = (0.5, 1.5, 2.5, 3.5)
    expected = dict(zip(names, (0, 2, 2, 4), strict=True))
    self.assertEqual(scale.rated(halves), expected)
    self.assertEqual(scale.predicted(halves), expected)

  def test_predictions_are_clipped_and_people_are_not(self):
    self.assertEqual(
      SMALL.predicted([-3.2, 7.9]), {'quality': 0, 'toxicity': 4}
    )
    # A rating off the scale is a mistake in the data, which encode refuses.
    self.assertEqual(SMALL.rated([9.0, None]), {'quality': 9})


class SteeringTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.seen = [
      SMALL.condition(v)
      for v in (
        {'quality': 4, 'toxicity': 0},
        {'quality': 0, 'toxicity': 3},
        {'quality': 2},
      )
    ]

  def test_the_text_is_the_condition(self):
    asked = Steering(scale=SMALL, values={'toxicity': 0, 'quality': 4})
    self.assertEqual(asked.text, '<extra_id_2>quality:4,toxicity:0\n')

  def warning(self, **values):
    return Steering(scale=SMALL, values=values).warning(self.seen)

  def test_warns_of_what_nobody_was_trained_on(self):
    self.assertIsNone(self.warning(toxicity=0, quality=4))
    self.assertIsNone(self.warning(quality=2))
    self.assertEqual(
      self.warning(quality=4, toxicity=1),
      'trained on no response with toxicity:1',
    )
    self.assertEqual(
      self.warning(quality=1, toxicity=1),
      'trained on no response with quality:1 or with toxicity:1',
    )
    self.assertEqual(
      self.warning(quality=4, toxicity=3),
      'trained on no response with quality:4,toxicity:3, though on each of '
      'these levels',
    )

  def test_nothing_asked_for_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'no attribute is asked for'):
      Steering(scale=SMALL, values={})


if __name__ == '__main__':
  absltest.main()
