"""Losses a token of held-out demonstrations, against sums by hand."""

import math

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import likelihoods
from rlhf_jax.types import Message, Prompt


def prompts(texts):
  return [Prompt((Message('user', text),)) for text in texts]


class LikelihoodsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.lengths = np.array([2, 3, 5])
    self.found = likelihoods.measure(
      {'start': [-4.0, -6.0, -10.0], 'sft': [-1.0, -3.0, -6.0]},
      self.lengths,
      against='start',
      prompts=prompts('abc'),
    )

  def test_every_token_counts_the_same(self):
    self.assertAlmostEqual(self.found['start'].loss.value, 20.0 / 10.0)
    self.assertAlmostEqual(self.found['sft'].loss.value, 10.0 / 10.0)
    self.assertAlmostEqual(self.found['sft'].perplexity, math.e)
    self.assertEqual(self.found['sft'][3:], (10, 3))

  def test_the_fall_is_that_of_the_same_responses(self):
    self.assertIsNone(self.found['start'].fall)
    fall = self.found['sft'].fall
    self.assertAlmostEqual(fall.value, (3.0 + 3.0 + 4.0) / 10.0)
    # Each fell by 3, 3, 4, where 1 a token would be 2, 3, 5: 1, 0, −1 too much,
    # over 10 / 3 tokens a response; the error of the mean of three.
    residuals = np.array([1.0, 0.0, -1.0]) / (10.0 / 3.0)
    error = np.std(residuals, ddof=1) / math.sqrt(3.0)
    self.assertAlmostEqual(fall.standard_error, error)

  def test_a_loss_that_is_the_same_a_token_has_no_error(self):
    self.assertAlmostEqual(self.found['start'].loss.standard_error, 0.0)

  def test_responses_to_a_prompt_are_one_cluster(self):
    logps = {'start': [-1.0, -1.0, -6.0, -6.0]}
    alone, together = (
      likelihoods.measure(
        logps, np.array([2, 2, 2, 2]), against='start', prompts=prompts(texts)
      )['start'].loss.standard_error
      for texts in ('abcd', 'aabb')
    )
    self.assertGreater(together, alone)


if __name__ == '__main__':
  absltest.main()
