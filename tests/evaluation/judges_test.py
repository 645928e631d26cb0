"""Judges by scores."""

import functools
import io

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import judges
from rlhf_jax.feedback import scoring
from rlhf_jax.types import Message, Prompt


class JudgesTest(absltest.TestCase):
  def test_credits_by_hand(self):
    first, second = [1.25, -1.0, 2.0, 5.0], [1.0, 1.0, 2.0, 1.0]
    actual = judges.credits_from_scores(first, second)
    np.testing.assert_array_equal(actual, [1.0, 0.0, 0.5, 1.0])

  def test_swapping_the_pair_swaps_the_credit(self):
    first, second = np.random.default_rng(0).normal(size=(2, 40)).round(1)
    np.testing.assert_array_equal(
      judges.credits_from_scores(first, second),
      1 - judges.credits_from_scores(second, first),
    )

  def test_no_score_is_no_verdict(self):
    actual = judges.credits_from_scores([np.nan, 1.0], [0.0, np.nan])
    self.assertTrue(np.isnan(actual).all())

  def test_the_higher_score_wins(self):
    def words(prompts, responses):
      return [len(text.split()) for text in responses]

    prompts = [Prompt((Message('user', text),)) for text in 'pqr']
    asked = prompts, ['a b c', 'a', 'a b'], ['a', 'a b', 'b a']
    judge = judges.by_reward(words)
    np.testing.assert_array_equal(judge(*asked), [1.0, 0.0, 0.5])
    self.assertEqual(scoring.named(judge), scoring.named(words))
    near = judges.by_reward(words, tie=1.0)
    np.testing.assert_array_equal(near(*asked), [1.0, 0.5, 0.5])
    silent = judges.by_reward(lambda prompts, responses: [None, 1.0, 2.0])
    np.testing.assert_array_equal(silent(*asked), [np.nan, 0.5, 0.5])

  def test_a_response_is_scored_once(self):
    asked = []

    def reward(prompts, responses):
      asked.extend(zip(prompts, responses, strict=True))
      return [None if text == 'b' else len(text) for text in responses]

    p, q = (Prompt((Message('user', text),)) for text in 'pq')
    remembering = judges.scored_once(reward)
    for _ in range(2):
      scores = remembering([p, p, q, p], ['aa', 'b', 'aa', 'aa'])
      np.testing.assert_array_equal(scores, [2.0, np.nan, 2.0, 2.0])
    self.assertEqual(asked, [(p, 'aa'), (p, 'b'), (q, 'aa')])
    self.assertEqual(scoring.named(remembering), scoring.named(reward))

  def test_the_longer_wins(self):
    prompts = [Prompt((Message('user', text),)) for text in 'pqr']
    said = judges.longer(prompts, ['abc', 'a', 'äb'], ['a', 'ab', 'cd'])
    np.testing.assert_array_equal(said, [1.0, 0.0, 0.5])

  def test_asked_once_about_a_pair(self):
    asked = []

    def noisy(prompts, first, second):
      asked.extend(zip(prompts, first, second, strict=True))
      return np.arange(len(first)) / 4

    judge = judges.asked_once(noisy, out=io.StringIO(), at_a_time=2)
    prompts = [Prompt((Message('user', text),)) for text in 'ppqp']
    np.testing.assert_array_equal(
      judge(prompts, list('abca'), list('xxyx')), [0.0, 0.25, 0.0, 0.0]
    )
    # Of these the first is known; the other order of it is another question.
    np.testing.assert_array_equal(
      judge(prompts[:2], ['a', 'x'], ['x', 'a']), [0.0, 0.0]
    )
    first, second, _, _ = prompts
    self.assertEqual(
      asked,
      [
        (first, 'a', 'x'),
        (second, 'b', 'x'),
        (prompts[2], 'c', 'y'),
        (second, 'x', 'a'),
      ],
    )
    self.assertEqual(scoring.named(judge), scoring.named(noisy))
    bound = judges.asked_once(functools.partial(noisy), out=io.StringIO())
    self.assertEqual(scoring.named(bound), scoring.named(noisy))

  def test_a_failure_is_told_once(self):
    def failing(prompts, first, second):
      raise RuntimeError('no server')

    judge = judges.asked_once(failing, out=io.StringIO())
    with self.assertRaises(scoring.ScoringError) as caught:
      scoring.ask(judge, [Prompt((Message('user', 'x'),))], ['a'], ['b'])
    self.assertEqual(str(caught.exception).count('failed on'), 1)


if __name__ == '__main__':
  absltest.main()
