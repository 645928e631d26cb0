"""What judges say of texts, by hand; a text is worth the number it says."""

import functools
import types

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import judging
from tests.methods.fake_queries import FakeQueries, numbers, prompt

PROMPTS = [prompt('a'), prompt('b'), prompt('c')]
TEXTS = [numbers(4, 1, 4, 7), numbers(2), numbers(3, 5)]


def difference(a, b):
  return float(a) - float(b)


class ByRewardTest(absltest.TestCase):
  def test_scores_and_preferences(self):
    fake = FakeQueries()
    scores, prefer, by_scores = judging.by_reward(PROMPTS, TEXTS, fake.queries)
    self.assertTrue(by_scores)
    for row, expected in zip(scores, TEXTS, strict=True):
      np.testing.assert_array_equal(row, np.array(expected, np.float32))
    self.assertEqual(
      list(prefer[0]([(0, 1), (1, 0), (0, 3), (0, 2)])),
      [True, False, False, True],  # Of equal ones the first.
    )
    self.assertEqual(list(prefer[2]([(0, 1), (1, 0)])), [False, True])
    ((a, b, c),) = fake.scored  # All at once.
    self.assertEqual([a.prompt, b.prompt, c.prompt], PROMPTS)
    self.assertEqual(a.responses, ('4', '1', '4', '7'))


class ByRankerTest(parameterized.TestCase):
  def test_scores_are_log_odds_against_the_first(self):
    fake = FakeQueries(log_odds=difference)
    scores, _, by_scores = judging.by_ranker(PROMPTS, TEXTS, fake.queries)
    self.assertFalse(by_scores)
    expected = [[0.0, -3.0, 0.0, 3.0], [0.0], [0.0, 2.0]]
    self.assertEqual([row.tolist() for row in scores], expected)
    (asked,) = fake.preferred  # All at once.
    self.assertEqual(
      [(c.prompt, c.responses) for c in asked],
      [
        (PROMPTS[0], ('1', '4')),
        (PROMPTS[0], ('4', '4')),
        (PROMPTS[0], ('7', '4')),
        (PROMPTS[2], ('5', '3')),
      ],
    )

  @parameterized.parameters(
    (1e3, np.log(1e4)),
    (-1e3, -np.log(1e4)),
    (9.0, 9.0),
    (-9.0, -9.0),
    (np.inf, np.log(1e4)),
  )
  def test_log_odds_are_clipped(self, odds, expected):
    fake = FakeQueries(log_odds=lambda a, b: odds)
    judged = judging.by_ranker([PROMPTS[0]], [['x', 'y']], fake.queries)
    np.testing.assert_allclose(judged.scores[0], [0.0, expected], rtol=1e-6)

  def test_preferences_are_asked_for_once_a_call(self):
    fake = FakeQueries(log_odds=difference)
    prefer = judging.by_ranker(PROMPTS, TEXTS, fake.queries).prefer
    del fake.preferred[:]
    self.assertEqual(prefer[0]([(0, 1), (1, 3)]), [True, False])
    self.assertEqual(prefer[2]([(1, 0)]), [True])
    first, second = fake.preferred
    self.assertEqual([c.prompt for c in first], [PROMPTS[0]] * 2)
    self.assertEqual([c.responses for c in first], [('4', '1'), ('1', '7')])
    self.assertEqual(second[0].prompt, PROMPTS[2])

  def test_prompts_of_one_text_ask_nothing(self):
    fake = FakeQueries(log_odds=difference)
    judged = judging.by_ranker(PROMPTS[:1], [['7']], fake.queries)
    self.assertEqual([row.tolist() for row in judged.scores], [[0.0]])
    self.assertEqual(fake.preferred, [[]])


class ByAnnotatorTest(absltest.TestCase):
  def judge(self, texts, annotate):
    fake = FakeQueries([[]] * len(texts))
    return judging.by_annotator(
      PROMPTS[: len(texts)], texts, fake.queries, annotate=annotate
    )

  def test_scores_are_wins_against_all_others(self):
    judged = self.judge(
      [numbers(4, 1, 7), numbers(2)],
      lambda prompt, a, b, seed: float(a) > float(b),
    )
    self.assertEqual([row.tolist() for row in judged.scores], [[1, 0, 2], [0]])
    self.assertFalse(judged.by_scores)
    self.assertEqual(
      judged.prefer[0]([(0, 1), (1, 0), (1, 2), (2, 0)]),
      [True, False, False, True],
    )

  def test_whoever_meets_again_is_told_the_same(self):
    def tossed(prompt, a, b, seed):
      return np.random.default_rng(seed).random() < 0.5

    (prefer,) = self.judge([numbers(*range(12))], tossed).prefer
    forth = [(i, j) for i in range(12) for j in range(i)]
    back = [(j, i) for i, j in forth]
    self.assertEqual(prefer(forth), [not won for won in prefer(back)])
    self.assertBetween(sum(prefer(forth)), 15, 51)  # Of 66 tosses.


class AskedTest(absltest.TestCase):
  def test_a_judge_names_the_role_it_asks(self):
    person = functools.partial(judging.by_annotator, annotate=difference)
    sources = {'policy': 'p', 'judge': 'j'}
    for judge, frozen in (
      (judging.by_reward, {'reward': 'j'}),
      (judging.by_ranker, {'ranker': 'j'}),
      (person, {}),
    ):
      self.assertEqual(
        judging.asked(types.SimpleNamespace(judge=judge), sources),
        {'policy': 'p', 'frozen': frozen},
      )


if __name__ == '__main__':
  absltest.main()
