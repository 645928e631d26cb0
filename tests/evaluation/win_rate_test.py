"""Win rates, against tables worked by hand and simulated policies."""

import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import samples, win_rate
from rlhf_jax.types import Message, Prompt

NAN = np.nan


def prompts_of(count, kinds=('',), repeats=1):
  distinct = [
    Prompt((Message('user', f'question {i}'),), kind=kinds[i % len(kinds)])
    for i in range(count)
  ]
  return [prompt for prompt in distinct for _ in range(repeats)]


def policy(name, responses, gold=None):
  return samples.PolicySamples(
    name=name,
    prompts=prompts_of(len(responses)),
    responses=responses,
    lengths=np.ones(len(responses)),
    ended=np.ones(len(responses), bool),
    gold=gold,
  )


class Longest:
  """Prefers the longer response, has no verdict on 'mute', and remembers."""

  def __init__(self):
    self.asked = []

  def __call__(self, prompts, responses_a, responses_b):
    self.asked += [p.messages[0].content for p in prompts]
    verdicts = []
    for a, b in zip(responses_a, responses_b, strict=True):
      gap = len(a) - len(b)
      verdicts.append(NAN if 'mute' in (a, b) else (np.sign(gap) + 1) / 2)
    return np.array(verdicts)


class CreditsTest(parameterized.TestCase):
  A = policy('a', ['long one', 'x', 'same', 'mute', 'ab', 'mute'])
  B = policy('b', ['short', 'xyz', 'same', 'other', 'cd', 'mute'])

  def test_by_hand(self):
    judge = Longest()
    actual = win_rate.credits(self.A, self.B, judge)
    np.testing.assert_array_equal(actual, [1.0, 0.0, 0.5, NAN, 0.5, 0.5])
    # Identical responses, the judge's weak spot included, tie unasked.
    self.assertEqual(judge.asked, [f'question {i}' for i in (0, 1, 3, 4)])

  def test_swapping_gives_one_minus(self):
    forth = win_rate.credits(self.A, self.B, Longest())
    back = win_rate.credits(self.B, self.A, Longest())
    np.testing.assert_array_equal(forth, 1 - back)

  def test_nobody_is_asked_about_a_policy_and_itself(self):
    actual = win_rate.credits(self.A, self.A, None)
    np.testing.assert_array_equal(actual, np.full(6, 0.5))

  def test_stored_scores(self):
    a = policy('a', ['p', 'q', 'r', 's'], gold=np.array([2.0, 1, 9, NAN]))
    b = policy('b', ['t', 'u', 'r', 'v'], gold=np.array([1.0, 2, 3, 0]))
    actual = win_rate.credits(a, b, 'gold')
    np.testing.assert_array_equal(actual, [1.0, 0.0, 0.5, NAN])

  def test_refuses_a_judge_that_miscounts(self):
    with self.assertRaisesRegex(ValueError, 'gave 6 credits for 5 pairs'):
      win_rate.credits(
        self.A,
        policy('b', ['1', '2', '3', '4', '5', 'mute']),
        lambda prompts, a, b: np.ones(6),
      )

  def test_refuses_credits_that_are_none(self):
    with self.assertRaisesRegex(ValueError, 'test_.*<lambda> gave -3 for a pa'):
      win_rate.credits(
        self.A,
        policy('b', ['1', '2', '3', '4', '5', 'mute']),
        lambda prompts, a, b: np.full(len(a), -3.0),
      )


class EstimateTest(parameterized.TestCase):
  def test_by_hand(self):
    # Wins 2, losses 1, ties 2, one missing: (2 + 2 · ½) / 5.
    credits = [1.0, 0.0, NAN, 0.5, 1.0, 0.5]
    actual = win_rate.estimate(credits, prompts_of(6), most_missing=0.2)
    self.assertEqual(actual.value, 0.6)
    self.assertEqual((actual.count, actual.ties, actual.missing), (5, 2, 1))
    expected = np.std([1.0, 0.0, 0.5, 1.0, 0.5], ddof=1) / np.sqrt(5)
    self.assertAlmostEqual(actual.standard_error, expected)
    self.assertBetween(actual.value, actual.low, actual.high)

  def test_swapping_mirrors_the_interval(self):
    credits = np.random.default_rng(0).choice(
      [0, 0.5, 1], 80, p=[0.2, 0.2, 0.6]
    )
    forth = win_rate.estimate(credits, prompts_of(80))
    back = win_rate.estimate(1 - credits, prompts_of(80))
    np.testing.assert_allclose(forth.value, 1 - back.value)
    np.testing.assert_allclose(forth.low, 1 - back.high)
    self.assertGreater(forth.low, 0.5)

  def test_samples_of_a_prompt_are_not_independent(self):
    credits = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 5)
    apart = win_rate.estimate(credits, prompts_of(30))
    together = win_rate.estimate(credits, prompts_of(6, repeats=5))
    self.assertEqual(together.value, apart.value)
    expected = np.std([1, 0, 1, 1, 0, 1], ddof=1) / np.sqrt(6)
    self.assertAlmostEqual(together.standard_error, expected)
    self.assertGreater(together.high - together.low, apart.high - apart.low)

  @parameterized.parameters((2, 40, True), (3, 40, False), (0, 1, True))
  def test_refuses_above_one_missing_in_twenty(self, missing, count, passes):
    credits = np.where(np.arange(count) < missing, NAN, 1.0)
    if passes:
      actual = win_rate.estimate(credits, prompts_of(count))
      self.assertEqual(actual.missing, missing)
    else:
      with self.assertRaisesRegex(win_rate.MissingVerdictsError, '3 of 40'):
        win_rate.estimate(credits, prompts_of(count))

  def test_refuses_nothing_judged(self):
    with self.assertRaises(win_rate.MissingVerdictsError):
      win_rate.estimate([NAN, NAN], prompts_of(2), most_missing=1.0)

  def test_refuses_percentages(self):
    with self.assertRaisesRegex(ValueError, r'\[0, 1\]'):
      win_rate.estimate([0.0, 100.0], prompts_of(2))

  def test_by_kind(self):
    credits = np.array([1.0, 0.0, 0.5, NAN, 1.0, NAN])
    actual = win_rate.by_kind(credits, prompts_of(6, kinds=('b', 'a', 'c')))
    # Rows of b: 1 and missing; of a: 0 and 1; of c: ½ and missing.
    self.assertEqual(list(actual), ['a', 'b', 'c'])
    self.assertEqual([r.value for r in actual.values()], [0.5, 1.0, 0.5])
    self.assertEqual([r.missing for r in actual.values()], [0, 1, 1])

  def test_two_samples_of_a_prompt_are_one_prompt(self):
    asked = [*prompts_of(4, kinds=('a', 'b'))] * 2
    found = win_rate.by_kind(np.tile([1.0, 0.0], 4), asked)
    counted = {kind: (r.prompts, r.count) for kind, r in found.items()}
    self.assertEqual(counted, {'a': (2, 4), 'b': (2, 4)})

  def test_a_kind_without_verdicts_is_left_out(self):
    credits = np.array([1.0, NAN, 0.0, NAN])
    actual = win_rate.by_kind(credits, prompts_of(4, kinds=('a', 'b')))
    self.assertEqual(list(actual), ['a'])


class PoolTest(parameterized.TestCase):
  def test_runs_of_one_experiment_share_its_prompts(self):
    prompts = prompts_of(60, repeats=2)
    generator = np.random.default_rng(2)
    runs = [generator.integers(0, 2, 120).astype(float) for _ in range(3)]
    shuffled = generator.permutation(120)
    pooled = win_rate.pool(runs, [prompts] * 3)
    self.assertAlmostEqual(pooled.value, np.mean(runs))
    # The order of a run's rows is its own affair.
    again = win_rate.pool(
      [runs[0], runs[1][shuffled], runs[2]],
      [prompts, [prompts[row] for row in shuffled], prompts],
    )
    np.testing.assert_allclose(pooled, again)

  def test_seeds_that_disagree_widen_the_interval(self):
    prompts = [prompts_of(200)] * 3
    base = np.arange(200) % 10
    alike = [(np.roll(base, s) < 7).astype(float) for s in range(3)]
    apart = [(np.roll(base, s) < 4 + 3 * s).astype(float) for s in range(3)]
    narrow, wide = win_rate.pool(alike, prompts), win_rate.pool(apart, prompts)
    self.assertAlmostEqual(narrow.value, wide.value)
    self.assertGreater(narrow.low, 0.5)
    self.assertLess(wide.low, 0.5)

  def test_prompt_without_verdict_in_one_run_is_left_out(self):
    credits = [np.array([1.0, 0.0, 1.0, NAN]), np.array([1.0, 1.0, 0.0, 1.0])]
    pooled = win_rate.pool(credits, [prompts_of(4)] * 2)
    self.assertAlmostEqual(pooled.value, 4 / 6)

  def test_other_prompts_in_each_run(self):
    prompts = prompts_of(9)
    credits = [np.array([1.0, 1, 0]), np.array([1.0, 1, 1]), np.zeros(3)]
    pooled = win_rate.pool(credits, [prompts[:3], prompts[3:6], prompts[6:]])
    means = [2 / 3, 1.0, 0.0]
    expected = scipy.stats.t.interval(
      0.95, 2, np.mean(means), scipy.stats.sem(means)
    )
    np.testing.assert_allclose(pooled[2:], expected)

  def test_refuses_one_run(self):
    with self.assertRaisesRegex(ValueError, 'at least two runs'):
      win_rate.pool([np.ones(2)], [prompts_of(2)])


if __name__ == '__main__':
  absltest.main()
