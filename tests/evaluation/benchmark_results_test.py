"""A policy against another on a benchmark, people beside the judge."""

import pathlib
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest

from rlhf_jax.evaluation import benchmark_results, blocks, html_pages
from rlhf_jax.evaluation.win_rate import MissingVerdictsError
from rlhf_jax.types import Message, Prompt

NAN = float('nan')
PROMPTS = [
  Prompt((Message('user', f'q{i}'),), kind)
  for i, kind in enumerate(('math', 'math', 'writing', 'writing'))
]
JUDGED = benchmark_results.Judged(
  PROMPTS,
  ['own one', 'own', 'own', 'same'],
  ['other', 'other', '<b>other</b>', 'same'],
  np.array([1.0, 0.0, 1.0, 0.5]),
  np.array([1.0, 2 / 3, NAN, 0.5]),
)


class BenchmarkResultsTest(absltest.TestCase):
  def test_two_columns_by_hand(self):
    found = benchmark_results.rates(JUDGED)
    self.assertEqual(list(found), ['all', 'math', 'writing'])
    self.assertAlmostEqual(found['all'].judge.value, 2.5 / 4)
    self.assertAlmostEqual(found['all'].people.value, (1 + 2 / 3 + 0.5) / 3)
    self.assertEqual(found['all'].people.missing, 1)
    self.assertEqual(found['math'].judge.value, 0.5)
    self.assertAlmostEqual(found['math'].people.value, 5 / 6)
    self.assertEqual(found['writing'].people.count, 1)
    header, first, *_ = benchmark_results.table(found)
    self.assertEqual(header[:3], ['questions', 'wins', 'wins by people'])
    self.assertStartsWith(first[2], '0.72 [')
    # Of three pairs that both judged, they differ on the second.
    self.assertAlmostEqual(benchmark_results.alike(JUDGED).value, 2 / 3)

  def test_what_stands_beside_the_rate_by_hand(self):
    shown = [[1.0, 0.8], [0.75, 0.25], [NAN, 0.5], [NAN, NAN]]
    judged = JUDGED._replace(
      credits=np.array([0.9, 0.5, NAN, 0.5]), shown=np.array(shown)
    )
    found = benchmark_results.rates(judged, most_missing=0.5)['all']
    self.assertAlmostEqual(found.judge.value, 1.9 / 3)
    self.assertAlmostEqual(found.discrete.value, 2 / 3)  # A win and two ties.
    # Of two that were asked twice, one has the same verdict.
    self.assertEqual(found.position.same.value, 0.5)
    # The first: mean of 1 and 0.2, of 0.75 and 0.75, and 0.5.
    self.assertAlmostEqual(found.position.first.value, (0.6 + 0.75 + 0.5) / 3)
    own, other = found.characters
    self.assertEqual(own.value, (7 + 3 + 3 + 4) / 4)
    self.assertEqual(other.value, (5 + 5 + 12 + 4) / 4)
    header, line, *_ = benchmark_results.beside({'all': found}, 'b')
    self.assertEqual(
      dict(zip(header, line, strict=True))['characters of b'], '6 ± 2'
    )

  def test_groups_of_about_one_length_by_hand(self):
    count = 40
    prompts = [Prompt((Message('user', f'q{i}'),)) for i in range(count + 1)]
    own = ['x' * (50 + i // 2) for i in range(count)] + ['x' * 500]
    credits = np.array([float(i >= 20) for i in range(count)] + [NAN])
    judged = benchmark_results.Judged(
      prompts, own, ['x' * 60] * (count + 1), credits
    )
    gaps, rates = benchmark_results.by_gap(judged)
    # Ten pairs a group, whose gaps are −10 to −6, −5 to −1, 0 to 4 and 5 to 9.
    self.assertEqual(gaps.tolist(), [-8, -3, 2, 7])
    self.assertEqual([rate.value for rate in rates], [0, 0, 1, 1])
    few, _ = benchmark_results.by_gap(JUDGED._replace(people=None))
    self.assertEqual(few.tolist(), [(2 - 2 - 9 + 0) / 4])

  def test_its_plots(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    found, names = benchmark_results.rates(JUDGED), ('ppo', 'ppo')
    drawn = benchmark_results.draw(folder, JUDGED, found, names)
    page = benchmark_results.page(JUDGED, found, names, 'vicuna80', [], drawn)
    shown = html_pages.page(page, folder)
    self.assertEqual(shown.count('src="data:image/png'), 2)
    said = blocks.markdown(page)
    for name in benchmark_results.PLOTS:
      self.assertIn(f']({name})', said)
      self.assertGreater((folder / name).stat().st_size, 5_000)
    with mock.patch.dict('sys.modules', {'rlhf_jax.evaluation.plots': None}):
      (instead,) = benchmark_results.draw(folder, JUDGED, found, names)
    self.assertIn('matplotlib', instead.text)

  def test_pairs_without_a_verdict_can_be_looked_for(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def page(judged):
      found = benchmark_results.rates(judged, most_missing=1.0)
      names = 'ppo', 'sft'
      return html_pages.page(
        benchmark_results.page(judged, found, names, 'vicuna80', []), folder
      )

    option = '<option value="no verdict">no verdict</option>'
    self.assertNotIn(option, page(JUDGED))
    unread = page(JUDGED._replace(credits=np.array([1.0, 0.0, NAN, 0.5])))
    self.assertIn(option, unread)
    self.assertEqual(unread.count('data-verdict="no verdict"'), 1)
    self.assertIn('no verdict against sft', unread)

  def test_people_alone_may_leave_out_what_they_like(self):
    few = JUDGED._replace(people=np.array([1.0, NAN, NAN, NAN]))
    found = benchmark_results.rates(few)
    self.assertEqual(found['all'].people.count, 1)
    self.assertIsNone(found['writing'].people)
    with self.assertRaises(MissingVerdictsError):
      benchmark_results.rates(few._replace(credits=few.people))

  def test_without_people(self):
    alone = JUDGED._replace(people=None)
    found = benchmark_results.rates(alone)
    self.assertNotIn('wins by people', benchmark_results.table(found)[0])
    self.assertIsNone(benchmark_results.alike(alone))

  def test_the_page_of_two_that_have_one_name(self):
    found = benchmark_results.rates(JUDGED)
    page = benchmark_results.page(
      JUDGED, found, ('ppo', 'ppo'), 'vicuna80', ['Judged by gold.']
    )
    said = blocks.markdown(page)
    self.assertStartsWith(said, '# ppo against ppo (2) on vicuna80\n')
    self.assertIn('Judged by gold.', said)
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    shown = html_pages.page(page, folder)
    self.assertIn('&lt;b&gt;other&lt;/b&gt;', shown)
    self.assertNotIn(
      'tokens', shown.partition('<script>')[0].split('</style>')[1]
    )


if __name__ == '__main__':
  absltest.main()
