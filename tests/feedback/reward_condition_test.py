"""A reward in words: the same bytes in training and in asking; warnings."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sandbox
from rlhf_jax.data import templates
from rlhf_jax.feedback import reward_condition
from rlhf_jax.feedback.reward_condition import Target
from rlhf_jax.types import Message, Prompt

HI = Prompt((Message('user', 'Q: hi'),))


def written(*rewards, **options):
  return [reward_condition.text(r, **options) for r in rewards]


class TextTest(parameterized.TestCase):
  @parameterized.parameters(
    (1.2345, 2, 'Q: hi <rm_score>: 1.23 '),
    (5.0, 2, 'Q: hi <rm_score>: 5.00 '),
    (5.0, 1, 'Q: hi <rm_score>: 5.0 '),
    (-0.378, 2, 'Q: hi <rm_score>: -0.38 '),
    (-0.004, 2, 'Q: hi <rm_score>: 0.00 '),
    (-0.06, 1, 'Q: hi <rm_score>: -0.1 '),
    (12, 0, 'Q: hi <rm_score>: 12 '),
    (np.float64(2.5), 2, 'Q: hi <rm_score>: 2.50 '),
  )
  def test_between_prompt_and_response(self, reward, decimals, expected):
    for condition in (
      reward_condition.text(reward, decimals=decimals),
      Target(reward, decimals=decimals).text,
    ):
      asked = HI._replace(condition=condition)
      self.assertEqual(templates.PLAIN.render(asked), expected)
      # Right before the response, after what opens it.
      self.assertEndsWith(
        templates.CHAT.render(asked, 'yes'),
        '<|assistant|>' + expected.removeprefix('Q: hi') + 'yes',
      )

  def test_as_the_sandbox_spells(self):
    target = Target(-1.25, decimals=1, spelling=sandbox.spell)
    self.assertEqual(target.text, '<rm_score>: - 1 . 2')
    self.assertEqual(
      target.text,
      reward_condition.text(-1.25, decimals=1, spelling=sandbox.spell),
    )

  @parameterized.parameters(
    (' <rm_score>: -1.20 ', -1.2),
    ('<rm_score>: - 1 . 2', -1.2),
    ('<rm_score>: 3', 3.0),
    ('', None),
    ('<rm_score>: much', None),
    ('quality: 4', None),
    ('so <rm_score>: 1.00', None),
  )
  def test_reading_it(self, text, expected):
    self.assertEqual(reward_condition.read(text), expected)

  @parameterized.parameters(
    math.nan, math.inf, -math.inf, 'high', None, True, 1j
  )
  def test_a_target_is_a_finite_number(self, z):
    said = 'Target.z is .*; it must be (a number, )?finite'
    with self.assertRaisesRegex(ValueError, said) as caught:
      Target(z)
    self.assertNotIn('\n', str(caught.exception))


class WarningTest(parameterized.TestCase):
  @parameterized.parameters(-1.5, 0.0, 2.25, 2.2549)
  def test_within_what_was_trained_on(self, z):
    seen = written(0.0, -1.5, 2.25)
    self.assertIsNone(Target(z).warning(seen))

  @parameterized.parameters(2.26, 5.0, -1.51)
  def test_outside(self, z):
    seen = written(0.0, -1.5, 2.25)
    self.assertEqual(
      Target(z).warning(seen),
      f'a reward of {z:g} is asked for, and the policy was trained on -1.5 to '
      "2.25 (standard deviations from the mean of its pool's reward): beyond "
      'that it can only extrapolate',
    )

  def test_spelt_out(self):
    seen = written(-1.0, 2.0, decimals=1, spelling=sandbox.spell)
    inside = Target(2.0, decimals=1, spelling=sandbox.spell)
    self.assertIsNone(inside.warning(seen))
    outside = Target(5.0, decimals=1, spelling=sandbox.spell)
    self.assertIn('trained on -1 to 2 (', outside.warning(seen))

  @parameterized.parameters(
    ({'decimals': 1}, "' <rm_score>: 0.5 '"),
    ({'spelling': sandbox.spell}, "'<rm_score>: 0 . 5 0'"),
  )
  def test_not_written_as_in_training(self, options, own):
    self.assertEqual(
      Target(0.5, **options).warning(written(0.5, 1.0)),
      f"training wrote ' <rm_score>: 0.50 ' where this target would write "
      f'{own}; give it the same decimals and the same spelling',
    )

  @parameterized.parameters(([''],), ([],), (['quality: 4'],))
  def test_a_policy_that_was_told_no_reward(self, seen):
    self.assertEqual(
      Target(2.0).warning(seen),
      'the policy was trained without a reward before its responses, so '
      "' <rm_score>: 2.00 ' tells it nothing",
    )


if __name__ == '__main__':
  absltest.main()
