"""Standard errors and intervals, held to definitions and to simulation."""

import itertools

import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import statistics


class StandardErrorTest(parameterized.TestCase):
  def test_single_rows_are_sd_over_root_n(self):
    values = np.random.default_rng(0).normal(size=37)
    actual = statistics.standard_error(values, np.arange(37))
    expected = np.std(values, ddof=1) / np.sqrt(37)
    self.assertAlmostEqual(actual, expected, places=12)

  def test_equal_groups_are_their_means(self):
    # Four samples a prompt are as good as one row with their mean.
    means = np.random.default_rng(1).normal(size=9)
    noise = np.array([-1.5, -0.5, 0.5, 1.5])
    values = (means[:, None] + noise).reshape(-1)
    actual = statistics.standard_error(values, np.repeat(np.arange(9), 4))
    expected = np.std(means, ddof=1) / np.sqrt(9)
    self.assertAlmostEqual(actual, expected, places=12)

  def test_one_group_tells_nothing(self):
    error = statistics.standard_error(np.arange(3.0), np.zeros(3, int))
    self.assertTrue(np.isnan(error))


class MeanTest(parameterized.TestCase):
  def test_is_students_interval(self):
    values = np.random.default_rng(2).normal(3.0, size=12)
    actual = statistics.mean(values, np.arange(12))
    expected = scipy.stats.t.interval(
      0.95, 11, values.mean(), scipy.stats.sem(values)
    )
    np.testing.assert_allclose(actual[2:], expected, rtol=1e-9)


class ShareTest(parameterized.TestCase):
  @parameterized.parameters((0, 20), (3, 20), (128, 256), (200, 256), (9, 9))
  def test_zero_one_credits_are_wilsons(self, wins, count):
    credits = (np.arange(count) < wins).astype(float)
    actual = statistics.share(credits, np.arange(count))
    expected = scipy.stats.binomtest(wins, count).proportion_ci(method='wilson')
    np.testing.assert_allclose(actual[2:], expected, atol=1e-6)

  def test_few_prompts_with_many_samples_take_students_quantile(self):
    credits = np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1.0])
    groups = np.repeat(np.arange(4), 3)
    actual = statistics.share(credits, groups)
    # The ends solve (w − x)² = t² x (1 − x) / n for the effective n.
    w, variance = credits.mean(), actual.standard_error**2
    n = 1 + w * (1 - w) / variance
    t2 = scipy.stats.t.ppf(0.975, 3) ** 2
    ends = np.roots([1 + t2 / n, -2 * w - t2 / n, w**2])
    np.testing.assert_allclose(actual[2:], np.sort(ends))

  def test_ties_narrow_and_repeats_widen(self):
    generator = np.random.default_rng(3)
    wins = generator.integers(0, 2, 100).astype(float)
    half_tied = np.where(np.arange(100) % 2, wins, 0.5)
    groups = np.arange(100)

    def width(credits, groups):
      estimate = statistics.share(credits, groups)
      return estimate.high - estimate.low

    self.assertLess(width(half_tied, groups), width(wins, groups))
    # Every row four times over is no more evidence than once.
    again = width(np.repeat(wins, 4), np.repeat(groups, 4))
    self.assertGreater(again, 0.99 * width(wins, groups))
    self.assertLess(again, 1.03 * width(wins, groups))

  @parameterized.named_parameters(
    ('yes_or_no', 64, 1, (0.35, 0.0, 0.65)),
    ('lopsided', 64, 1, (0.07, 0.0, 0.93)),
    ('ties', 64, 1, (0.2, 0.5, 0.3)),
    ('four_a_prompt', 32, 4, (0.35, 0.0, 0.65)),
  )
  def test_covers_the_truth_as_often_as_it_says(self, count, repeats, chances):
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(count), repeats)
    truth = chances[2] + 0.5 * chances[1]
    hits = 0
    for _ in range(1500):
      drawn = generator.choice([0.0, 0.5, 1.0], size=count, p=chances)
      credits = drawn[groups]
      # Samples of a prompt agree two times in three.
      fresh = generator.choice([0.0, 0.5, 1.0], size=groups.size, p=chances)
      credits = np.where(generator.random(groups.size) < 2 / 3, credits, fresh)
      estimate = statistics.share(credits, groups)
      hits += estimate.low <= truth <= estimate.high
    self.assertBetween(hits / 1500, 0.93, 0.975)


class BootstrapTest(parameterized.TestCase):
  def test_resamples_of_three_groups_by_hand(self):
    # Groups of 1, 1 and 2 rows: the 27 draws of three groups, enumerated.
    values = np.array([0.0, 1.0, 4.0, 6.0])
    sums, sizes = np.array([0.0, 1.0, 10.0]), np.array([1, 1, 2])
    exact = [
      sums[list(draw)].sum() / sizes[list(draw)].sum()
      for draw in itertools.product(range(3), repeat=3)
    ]
    blocks = statistics.resampled(
      np.array([5, 2, 7, 7]), seed=0, resamples=40_000
    )
    drawn = np.concatenate([w @ values / w.sum(axis=1) for w in blocks])
    self.assertLen(drawn, 40_000)
    values_and_counts = np.unique(exact, return_counts=True)
    for value, expected in zip(*values_and_counts, strict=True):
      share = np.mean(np.isclose(drawn, value))
      self.assertAlmostEqual(share, expected / 27, delta=0.01)

  def test_covers_the_truth_as_often_as_it_says(self):
    generator = np.random.default_rng(5)
    hits = 0
    for seed in range(400):
      gaps = generator.choice([-1.0, 0.0, 1.0], size=120, p=[0.2, 0.5, 0.3])
      blocks = statistics.resampled(np.arange(120), seed=seed, resamples=500)
      means = np.concatenate([w @ gaps / w.sum(axis=1) for w in blocks])
      low, high = statistics.percentiles(means)
      hits += low <= 0.1 <= high
    self.assertBetween(hits / 400, 0.92, 0.975)


class PoolTest(parameterized.TestCase):
  def test_mean_squares_by_hand(self):
    # Squares: runs 6 (1 degree), prompts 4.5 (2 degrees), the rest 0.5 (2).
    estimate = statistics.pool_crossed([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    self.assertAlmostEqual(estimate.value, 3.0)
    error = np.sqrt((6 + 4.5 - 0.5) / 6)
    self.assertAlmostEqual(estimate.standard_error, error)
    degrees = (6 + 4.5 - 0.5) ** 2 / (6**2 / 1 + 0.5**2 / 2 + 4.5**2 / 2)
    expected = scipy.stats.t.interval(0.95, degrees, 3.0, error)
    np.testing.assert_allclose(estimate[2:], expected)

  def test_degrees_are_never_fewer_than_those_of_the_runs(self):
    # Where the runs' mean square is hardly above that of the rest,
    # Satterthwaite's formula gives less than any mean square here has.
    cells = np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.3 + 1.8]])
    estimate = statistics.pool_crossed(cells)
    value, by_run, by_prompt = cells.mean(), cells.mean(1), cells.mean(0)
    rest = cells - by_run[:, None] - by_prompt[None] + value
    squares = 3 * by_run.var(ddof=1), 2 * by_prompt.var(ddof=1)
    rest = (rest**2).sum() / 2
    spread = squares[1] + max(squares[0] - rest, 0.0)
    satterthwaite = spread**2 / (
      squares[0] ** 2 + rest**2 / 2 + squares[1] ** 2 / 2
    )
    self.assertLess(satterthwaite, 1.0)
    expected = scipy.stats.t.interval(0.95, 1, value, np.sqrt(spread / 6))
    np.testing.assert_allclose(estimate[2:], expected)

  def test_identical_runs_are_one_run(self):
    row = np.random.default_rng(0).normal(size=50)
    pooled = statistics.pool_crossed(np.stack([row, row, row]))
    alone = statistics.mean(row, np.arange(50))
    np.testing.assert_allclose(pooled, alone, rtol=1e-9)

  def test_equal_cells_have_no_spread(self):
    pooled = statistics.pool_crossed(np.full((3, 4), 0.5))
    self.assertEqual(pooled, (0.5, 0.0, 0.5, 0.5))

  @parameterized.product(run_sd=(0.0, 0.03, 0.1), prompt_sd=(0.0, 0.3))
  def test_covers_the_truth_as_often_as_it_says(self, run_sd, prompt_sd):
    generator = np.random.default_rng(6)
    hits = 0
    for _ in range(800):
      cells = (
        0.6
        + run_sd * generator.normal(size=(3, 1))
        + prompt_sd * generator.normal(size=(1, 64))
        + 0.4 * generator.normal(size=(3, 64))
      )
      estimate = statistics.pool_crossed(cells)
      hits += estimate.low <= 0.6 <= estimate.high
    self.assertBetween(hits / 800, 0.90, 0.995)


if __name__ == '__main__':
  absltest.main()
