"""Numbers that are none: they are left out and told, or refused in a sentence.

No report breaks on them, no score that is missing is ever the best, and no
statistic of no values is a silent NaN.
"""

import json
import pathlib
import tempfile
import warnings

import numpy as np
from absl.testing import absltest, parameterized

from experiments.readings import potential_gain
from rlhf_jax.evaluation import (
  best_of_n,
  findings,
  judges,
  length_control,
  pooling,
  preference_accuracy,
  report,
  reward_curve,
  samples,
  statistics,
  summary,
  tables,
  win_rate,
)
from rlhf_jax.types import Message, Prompt

NAN, INF = float('nan'), float('inf')
COUNT = 40
PROMPTS = [
  Prompt((Message('user', f'question {i}'),), kind=('a', 'b')[i % 2])
  for i in range(COUNT)
]


def policy(name, gain, **fields):
  noise = np.random.default_rng(ord(name[0])).normal(size=(2, COUNT))
  known = {
    'gold': gain + noise[0],
    'score': gain + noise[1],
    'kl': np.full(COUNT, gain),
  }
  return samples.PolicySamples(
    name=name,
    prompts=PROMPTS,
    responses=[f'{name} says {i}' for i in range(COUNT)],
    lengths=np.arange(COUNT) + 1,
    ended=np.ones(COUNT, bool),
    **(known | fields),
  )


def holed(values, bad, every):
  """The values with every so many-th of them replaced."""
  values = np.asarray(values, object if bad is None else float).copy()
  values[::every] = bad
  return values


def curve(steps=60, **fields):
  up = np.linspace(0.0, 4.0, steps)
  known = {'steps': np.arange(steps), 'kl': up, 'score': up, 'gold': up}
  return reward_curve.RewardCurve(**(known | fields))


class NotFiniteTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.out = pathlib.Path(folder)
    self.enterContext(warnings.catch_warnings())
    warnings.simplefilter('error', RuntimeWarning)

  def report(self, found, **options):
    """results.json and report.md; the former has to be JSON as others read."""

    def refuse(word):
      raise AssertionError(f'{word} is no JSON')

    report.write(
      self.out,
      findings.Findings(
        title='A title',
        policies=summary.summarise(found),
        samples=found,
        **options,
      ),
    )
    text = (self.out / 'results.json').read_text()
    page = (self.out / 'report.md').read_text()
    return json.loads(text, parse_constant=refuse), page

  @parameterized.product(
    field=('gold', 'score', 'kl'),
    holes=((NAN, 25), (INF, 2), (None, 25), (-INF, 1)),
  )
  def test_a_report_of_any_column(self, field, holes):
    bad, every = holes
    found = {'sft': policy('sft', 0.0), 'ppo': policy('ppo', 1.0)}
    holes = holed(getattr(found['ppo'], field), bad, every)
    found['ppo'] = policy('ppo', 1.0, **{field: holes})
    written, page = self.report(found)
    self.assertNotRegex(page, r'\b(nan|inf)\b')
    count = len(range(0, COUNT, every))
    entry = written['policies']['ppo']
    self.assertEqual(entry['missing'][field], count)
    self.assertEqual(entry['prompts'], COUNT)
    name = {'gold': 'gold', 'score': 'score', 'kl': 'kl'}[field]
    if every == 1:
      self.assertIsNone(entry[name])
    else:
      kept = np.asarray(found['ppo'].gold, float) if field == 'gold' else None
      if kept is not None:
        expected = kept[np.isfinite(kept)].mean()
        self.assertAlmostEqual(entry[name], expected)
      self.assertIn(f'ppo: {count} responses had no', page)

  def test_too_few_verdicts_leave_no_win_rate_and_say_so(self):
    holes = holed(policy('ppo', 1.0).gold, NAN, 2)
    found = {'sft': policy('sft', 0.0), 'ppo': policy('ppo', 1.0, gold=holes)}
    written, page = self.report(found)
    self.assertIsNone(written['policies']['ppo']['win_rate'])
    self.assertIn('ppo: 20 pairs had no verdict, too many', page)

  def test_no_scores_at_all_are_as_none_given(self):
    found = {
      name: policy(name, 0.0, gold=np.full(COUNT, NAN))
      for name in ('sft', 'ppo')
    }
    written, _ = self.report(found)
    self.assertIn('learnt reward', written['policies']['ppo']['judge'])

  @parameterized.product(
    field=('kl', 'score', 'gold'), holes=((NAN, 7), (-INF, 7), (INF, 1))
  )
  def test_a_report_with_curves(self, field, holes):
    bad, every = holes
    found = {'sft': policy('sft', 0.0), 'ppo': policy('ppo', 1.0)}
    holes = holed(getattr(curve(), field), bad, every)
    written, page = self.report(
      found,
      reward_curves={'ppo': curve(**{field: holes})},
      curves={
        'ppo': {
          'step': list(range(50)),
          'kl': [bad if i % 2 else 1.0 for i in range(50)],
          'gold': [None] * 50,
        }
      },
    )
    self.assertIsNone(written['reward_curves']['ppo'][field][0])
    self.assertIn('reward_by_kl.png', page)
    self.assertNotRegex(page, r'\b(nan|inf)\b')

  def test_a_reward_model_measured_on_one_pair(self):
    found = {'sft': policy('sft', 0.0)}
    metrics = preference_accuracy.measure([1.0], [0.0])
    models = {('one', 'pair'): metrics}
    written, page = self.report(found, reward_models=models)
    self.assertIsNone(written['reward_models']['one']['pair']['margin_sd'])
    self.assertIn('1.00 (sd –)', page.replace('\N{NO-BREAK SPACE}', ' '))

  @parameterized.product(
    field=('gold', 'score', 'kl'), bad=(NAN, INF, None), every=(30, 2, 1),
    seeds=(1, 2),
  )  # fmt: skip
  def test_pooled_seeds(self, field, bad, every, seeds):
    holes = holed(getattr(policy('ppo', 1.0), field), bad, every)
    run = {
      'sft': policy('sft', 0.0),
      'ppo': policy('ppo', 1.0, **{field: holes}),
    }
    pooled = pooling.pool(
      dict.fromkeys(range(seeds), run), contrasts={'claim': ('ppo', 'sft')}
    )
    said = pooling.write(self.out, pooled, title='A title')
    self.assertNotRegex(said, r'\b(nan|inf)\b')
    text = (self.out / 'pooled.json').read_text()
    self.assertNotRegex(text, 'NaN|Infinity')

  def test_a_report_of_no_policy_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'no policy to report on'):
      nothing = findings.Findings(title='', policies={}, samples={})
      report.write(self.out, nothing)

  def test_a_missing_score_wins_nothing(self):
    np.testing.assert_array_equal(
      judges.credits_from_scores(
        [NAN, 1.0, INF, -INF, INF, 2.0], [0.0, NAN, INF, -INF, 1.0, 2.0]
      ),
      [NAN, NAN, 0.5, 0.5, 1.0, 0.5],
    )

  def test_a_judge_may_say_nothing(self):
    found = policy('ppo', 1.0), policy('sft', 0.0)

    def judge(prompts, *responses):
      return [None, NAN, *[1.0] * (len(prompts) - 2)]

    credits = win_rate.credits(*found, judge)
    self.assertEqual(np.isnan(credits).sum(), 2)

  @parameterized.parameters(
    (lambda: statistics.mean([], []), 'no values'),
    (lambda: statistics.share([], []), 'no values'),
    (lambda: statistics.standard_error([], []), 'no values'),
    (lambda: statistics.percentiles([]), 'no values'),
    (lambda: statistics.wilson(0.5, 0), '0 trials'),
    (lambda: statistics.mean([1.0, NAN], [0, 1]), '1 of 2 values'),
    (lambda: statistics.share([1.0, INF], [0, 1]), '1 of 2 values'),
    (lambda: statistics.pool_crossed(np.ones((1, 5))), '1 runs on 5'),
    (lambda: statistics.pool_crossed(np.ones((3, 1))), '3 runs on 1'),
    (lambda: best_of_n.expectation([[NAN, 1.0]], [[1.0, 1.0]], 2), 'finite'),
    (lambda: best_of_n.expectation([[1.0, 2.0]], [[NAN, 1.0]], 2), 'finite'),
    (lambda: best_of_n.pool_divergence([[NAN, 1.0]], 2), 'finite'),
    (lambda: potential_gain.potential_gain([[NAN, 1.0]], 2), 'finite'),
    (lambda: preference_accuracy.measure([], []), 'at least one'),
    (lambda: preference_accuracy.measure([NAN], [0.0]), 'NaN or infinity'),
    (lambda: preference_accuracy.measure([INF], [0.0]), 'NaN or infinity'),
    (lambda: preference_accuracy.calibration_slope([INF]), '1 of 1 values'),
    (lambda: preference_accuracy.calibration_error([]), 'no values'),
    (
      lambda: length_control.win_rate(np.array([NAN]), [1.0], PROMPTS[:1]),
      'no pair has a verdict',
    ),
    (
      lambda: win_rate.pool([[NAN], [1.0]], [PROMPTS[:1], PROMPTS[1:2]]),
      'no verdict at all',
    ),
    (
      lambda: reward_curve.fit_best_of_n([0.5, NAN, 1.0], [0.1, 0.2, 0.3]),
      'finite numbers',
    ),
    (
      lambda: reward_curve.matched_gold(curve(gold=np.full(60, NAN)), curve()),
      'no checkpoint',
    ),
  )
  def test_refused_in_a_sentence(self, asked, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      asked()

  def test_curves_are_matched_where_both_are_known(self):
    """The same line with holes in it: no gap anywhere."""
    whole = curve(kl=np.linspace(0.0, 4.0, 60) ** 2)  # Gold is the distance.
    matched = reward_curve.matched_gold(
      whole._replace(gold=holed(whole.gold, NAN, 3)), whole
    )
    self.assertAlmostEqual(matched.gap, 0.0, places=6)

  def test_a_dash_is_no_number(self):
    estimate = statistics.Estimate(1.0, NAN, NAN, NAN)
    self.assertEqual(tables.interval(estimate), '1.00 [–, –]')
    self.assertEqual(tables.with_error(estimate), '1.00 ± –')
    self.assertEqual(tables.with_error(estimate._replace(value=NAN)), '–')


if __name__ == '__main__':
  absltest.main()
