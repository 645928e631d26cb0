"""What a report leaves behind, and that it adapts to what is known."""

import base64
import dataclasses
import json
import pathlib
import re
import struct
import sys
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from matplotlib.backends import backend_agg

from rlhf_jax.evaluation import (
  blocks,
  claims,
  findings,
  learning_curves,
  legends,
  likelihoods,
  plots,
  pooling,
  preference_accuracy,
  report,
  reward_curve,
  samples,
  side_by_side,
  summary,
  tables,
)
from rlhf_jax.storage import files
from rlhf_jax.types import Message, Prompt

COUNT = 60
PROMPTS = [
  Prompt((Message('user', f'add {i} | <b>?'),), kind=('sum', 'list')[i % 2])
  for i in range(COUNT)
]
CURVES = {
  'sft': {'step': [1, 2, 3], 'nll_per_token': [3.0, 2.0, 1.5]},
  'ppo': {
    'step': list(range(50)),
    'kl': np.linspace(0, 4, 50),
    'gold': [1.0 if i % 10 == 0 else np.nan for i in range(50)],
    'seconds/sample': np.ones(50),
  },
  'preferences': {},
}


def policy(name, gain, *, gold=True, score=True, kinds=True):
  generator = np.random.default_rng(ord(name[0]))
  noise = generator.normal(size=(2, COUNT))
  prompts = PROMPTS if kinds else [p._replace(kind='') for p in PROMPTS]
  return samples.PolicySamples(
    name=name,
    prompts=prompts,
    responses=[f'{name} says\n{i} | <i>' for i in range(COUNT)],
    lengths=generator.integers(3, 20, COUNT),
    ended=np.ones(COUNT, bool),
    gold=gain + noise[0] if gold else None,
    score=2 * gain + noise[1] if score else None,
    kl=np.full(COUNT, gain),
  )


def policies(**options):
  return {
    'sft': policy('sft', 0.0, **options),
    'ppo': policy('ppo', 1.0, **options),
    'rlp_uml': policy('rlp_uml', 0.1, **options),
  }


def turning():
  """A curve of 80 steps whose gold turns over, with a little noise."""
  steps = np.arange(80)
  noise = np.random.default_rng(0).normal(0, 0.01, size=(2, 80))
  return reward_curve.RewardCurve(
    steps=steps,
    kl=steps / 20,
    score=steps / 40 + noise[0],
    gold=1 - np.abs(steps - 30) / 50 + noise[1],
  )


def flat(text):
  return ' '.join(text.split())


def empty_file(path, *_):
  path.write_bytes(b'')


def png_size(path):
  data = path.read_bytes()
  assert data[:8] == b'\x89PNG\r\n\x1a\n' and data[12:16] == b'IHDR'
  assert data[-8:-4] == b'IEND'
  return struct.unpack('>II', data[16:24])


class ReportTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.out = pathlib.Path(folder) / 'deep' / 'out'

  def write(self, found, **options):
    measured = summary.summarise(found, learnt_from=options.get('learnt_from'))
    self.written = report.write(
      self.out,
      findings.Findings(
        title='A title', policies=measured, samples=found, **options
      ),
    )
    page = (self.out / 'report.md').read_text()
    results = json.loads((self.out / 'results.json').read_text())
    self.assertEqual(dict(self.written), results)
    return measured, self.written.table, page, results

  def test_results_hold_what_was_measured(self):
    measured, _, _, results = self.write(policies())
    self.assertEqual(list(results['policies']), ['sft', 'ppo', 'rlp_uml'])
    for name, entry in results['policies'].items():
      expected = measured[name]
      self.assertEqual(entry['against'], 'sft')
      self.assertEqual(entry['gold'], expected.gold.value)
      self.assertEqual(entry['score'], expected.score.value)
      self.assertEqual(entry['kl'], expected.kl.value)
      self.assertEqual(entry['length'], expected.length.value)
      self.assertEqual(
        entry['standard_errors']['gold'],
        expected.gold.standard_error,
      )
      rate = (entry['win_rate'], entry['low'], entry['high'])
      if name == 'sft':
        self.assertEqual(rate, (0.5, 0.5, 0.5))
        self.assertEqual(entry['by_kind'], {})
      else:
        whole = expected.win_rate
        self.assertEqual(rate, (whole.value, whole.low, whole.high))
        self.assertEqual(set(entry['by_kind']), {'list', 'sum'})
        kind = entry['by_kind']['sum']
        self.assertEqual(kind['win_rate'], expected.by_kind['sum'].value)
        self.assertEqual(kind['count'], 30)
        self.assertEqual(kind['prompts'], 30)

  def test_a_notebook_shows_the_table_and_the_plots(self):
    _, console, _, _ = self.write(policies(), reward_curves={'ppo': turning()})
    self.assertEqual(repr(self.written), console)
    shown = self.written._repr_html_()
    self.assertIn('<pre>policy ', shown)
    images = [part.split('"')[0] for part in shown.split('base64,')[1:]]
    files = ('win_rates.png', 'reward_by_kl.png')
    for image, name in zip(images, files, strict=True):
      content = (self.out / name).read_bytes()
      self.assertEqual(base64.b64decode(image), content)

  def test_what_is_known_beyond_the_run_is_said_last(self):
    known = 'Ten seeds say `otherwise`.'
    _, console, page, _ = self.write(policies(), seed=3, background=known)
    *_, said, last = console.splitlines()
    self.assertEqual(last, 'Ten seeds say otherwise.')
    self.assertIn('launch.seeds', said)
    self.assertIn(f'\n{known}\n', page)

  def test_only_whole_files_are_left(self):
    self.write(policies())
    names = sorted(path.name for path in self.out.iterdir())
    self.assertEqual(
      names,
      [
        'report.html',
        'report.md',
        'results.json',
        'win_rates.png',
        'win_rates_by_kind.png',
      ],
    )

  def test_a_failed_write_leaves_the_old_results(self):
    self.write(policies())
    old = (self.out / 'results.json').read_text()
    with (
      mock.patch.object(files.os, 'replace', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      files.write_text(self.out / 'results.json', 'half')
    self.assertEqual((self.out / 'results.json').read_text(), old)

  def test_what_is_infinite_or_unknown_is_null(self):
    always_right = preference_accuracy.measure(np.ones(5), np.zeros(5))
    _, _, _, results = self.write(
      policies(gold=False),
      reward_models={('reward_model', 'sft'): always_right},
      reward_curves={'ppo': turning()._replace(gold=None)},
    )
    self.assertIsNone(results['policies']['ppo']['gold'])
    entry = results['reward_models']['reward_model']['sft']
    self.assertIsNone(entry['calibration_slope'])
    self.assertEqual(entry['accuracy']['value'], 1.0)
    curve = results['reward_curves']['ppo']
    self.assertIsNone(curve['gold'])
    self.assertLen(curve['kl'], 80)

  def test_page_and_console_hold_the_numbers(self):
    measured, console, page, _ = self.write(policies(), notes=['Seed 7.'])
    rate = measured['ppo'].win_rate
    shown = f'{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]'
    gold = measured['ppo'].gold
    page = page.replace(tables.NO_BREAK, ' ')
    for text in (console, page):
      self.assertIn(shown, text)
      self.assertIn(f'{gold.value:.2f} ± {gold.standard_error:.2f}', text)
      self.assertIn('judged by the gold reward', ' '.join(text.split()))
      self.assertIn('list', text)
    self.assertStartsWith(page, '# A title\n')
    whole = measured['ppo'].win_rate
    self.assertIn(
      f'**ppo** beats sft and wins {100 * whole.value:.0f} % '
      f'[{100 * whole.low:.0f}, {100 * whole.high:.0f}].',
      page,
    )
    self.assertIn('**rlp_uml** cannot be told from sft', page)
    self.assertIn('\n- Seed 7.\n', page)

  def test_console_columns_are_aligned(self):
    _, console, _, _ = self.write(policies())
    head, line, *rows = console.split('\n\n')[0].splitlines()
    self.assertLen(rows, 3)
    self.assertEqual({len(row) for row in [head, line, *rows]}, {len(line)})
    at = head.index('gold') + len('gold')
    self.assertTrue(all(row[at : at + 2] == '  ' for row in rows))

  def test_without_gold_the_report_says_who_judged(self):
    _, console, page, _ = self.write(policies(gold=False))
    for text in (console, page):
      self.assertNotIn('gold', text)
      self.assertIn('judged by the learnt reward.', text)

  def test_where_nobody_judged_there_are_no_win_rates(self):
    _, console, page, results = self.write(policies(gold=False, score=False))
    for text in (console, page):
      self.assertIn('judged by nobody', text)
      self.assertNotIn('wins', text)
    entry = results['policies']['ppo']
    self.assertEqual((entry['win_rate'], entry['by_kind']), (None, {}))
    self.assertEqual(entry['kl'], 1.0)
    self.assertEqual(list(self.out.glob('*.png')), [])

  def test_where_nobody_judged_it_begins_with_what_else_was_found(self):
    better, worse = np.random.default_rng(0).normal(size=(2, 50))
    lengths = np.array([[3, 2]] * 40 + [[2, 3]] * 10).T
    metrics = preference_accuracy.measure(
      better, worse, better_lengths=lengths[0], worse_lengths=lengths[1]
    )
    per_token = {'sft': np.full(9, -6.0), 'ppo': np.full(9, -9.0)}
    asked = PROMPTS[:9]
    _, _, page, _ = self.write(
      policies(gold=False, score=False),
      held_out={'ppo': preference_accuracy.HeldOut(0.6, metrics)},
      reward_models={('rm', 'held-out'): metrics, ('rm', 'sft'): metrics},
      likelihoods=likelihoods.measure(
        per_token, np.full(9, 3), against='sft', prompts=asked
      ),
    )
    first = page.replace(tables.NO_BREAK, ' ').split('\n\n')[1].splitlines()
    self.assertLen(first, 3)
    right = 100 * np.mean(better > worse)
    for name, line in zip(('rm', 'ppo'), first, strict=False):
      self.assertStartsWith(line, f'- **{name}** is right on {right:.0f} % [')
      self.assertIn('always taking the longer one is on 80 % [', line)
    # Nine nats of three tokens, and six.
    self.assertStartsWith(first[2], '- **ppo** has a loss of 3.00 [3.00, 3.00]')
    self.assertEndsWith(first[2], ' demonstrations, sft of 2.00 [2.00, 2.00].')

  def test_a_policy_alone_has_its_report(self):
    _, console, page, results = self.write({'sft': policy('sft', 0.0)})
    self.assertNotIn('wins', console)
    self.assertNotIn('.png', page)
    self.assertEqual(results['policies']['sft']['win_rate'], 0.5)

  def test_without_kinds_there_is_no_table_of_kinds(self):
    _, console, page, _ = self.write(policies(kinds=False))
    self.assertNotIn('kind ', console)
    self.assertNotIn('| kind |', page)

  def test_a_console_of_80_letters_has_room(self):
    names = ('ppo', 'reinforce_plus_plus', 'a', 'b', 'c', 'd', 'e', 'f')
    found = policies() | {name: policy(name, 0.5) for name in names}
    claims = {f'{n} is better than ppo is': (n, 'ppo') for n in names[1:]}
    contrasts = pooling.pool({0: found}, contrasts=claims).contrasts
    measured, console, page, _ = self.write(
      found, seed=0, contrasts=contrasts, held_out={}
    )
    self.assertLessEqual(max(map(len, console.splitlines())), 80)
    # Nine policies of two kinds: a row a policy, on the page too.
    rates = measured['reinforce_plus_plus'].by_kind
    cells = [tables.interval(rates[kind]) for kind in ('list', 'sum')]
    self.assertIn('| kind | list | sum |', page)
    self.assertIn(
      f'| reinforce_plus_plus | {" | ".join(cells)} |',
      page.replace(tables.NO_BREAK, ' '),
    )

  def test_what_a_page_folds_of_policies_it_does_not_show_first(self):
    _, _, page, _ = self.write(policies())
    heads = [x for x in page.splitlines() if x.startswith('| policy | ')]
    self.assertEqual(
      (heads[0], heads[-1]),
      (
        '| policy | wins against sft | gold | KL, nats |',
        '| policy | score | tokens | ended | wins at equal length |',
      ),
    )
    _, _, page, _ = self.write(policies(gold=False))
    heads = [x for x in page.splitlines() if x.startswith('| policy | ')]
    self.assertEqual(
      (heads[0], heads[-1]),
      (
        '| policy | wins against sft | score | KL, nats |',
        '| policy | tokens | ended | wins at equal length |',
      ),
    )

  def test_plots_of_everything(self):
    _, _, page, _ = self.write(
      policies(), curves=CURVES, reward_curves={'ppo': turning()}
    )
    drawn = {path.name for path in self.out.glob('*.png')}
    self.assertEqual(
      drawn,
      {
        'win_rates.png',
        'win_rates_by_kind.png',
        'reward_by_kl.png',
        'learning_sft.png',
        'learning_ppo.png',
      },
    )
    for name in drawn:
      self.assertIn(f'({name})', page)
      width, height = png_size(self.out / name)
      self.assertBetween(width, 700, 2400)
      self.assertBetween(height, 300, 2400)

  def test_turn_over_is_said(self):
    flat = turning()._replace(gold=np.linspace(0, 1, 80))
    _, _, page, _ = self.write(
      policies(),
      reward_curves={
        'ppo': turning(),
        'rlp_uml': flat,
        'short': reward_curve.RewardCurve(*(np.arange(5.0),) * 4),
      },
    )
    self.assertIn('ppo: over-optimised. From its best, around step 2', page)
    self.assertIn('No over-optimisation beyond chance: rlp_uml.', page)
    self.assertRegex(page, 'its gold reward fell by 0.[0-9]+ ')
    self.assertRegex(page, 'and its score rose by 1.[0-9]+ ')
    self.assertNotIn('by -', page)
    self.assertNotIn('short:', page)

  def test_reward_models_have_their_table(self):
    generator = np.random.default_rng(0)
    metrics = preference_accuracy.measure(
      generator.normal(1, 1, 50), generator.normal(0, 1, 50)
    )
    _, _, page, _ = self.write(
      policies(), reward_models={('reward_model', 'held-out'): metrics}
    )
    row = next(x for x in page.splitlines()[::-1] if 'on held-out' in x)
    self.assertIn(f'{metrics.accuracy.value:.2f} [', row)
    self.assertIn(f'{metrics.log_loss:.3f}', row)
    self.assertNotIn('better is longer', page)

  def test_further_pairs_are_columns_and_fitted_rewards_are_rows(self):
    generator = np.random.default_rng(0)
    metrics = preference_accuracy.measure(
      generator.normal(1, 1, 50),
      generator.normal(0, 1, 50),
      preferred=np.full(50, 0.9),
    )
    asked = policy('sft', 0.0).prompts[:4]
    blind = preference_accuracy.pair_accuracy(np.zeros(4), np.zeros(4), asked)
    models = {
      ('first', 'sft'): metrics._replace(further={'minimal': blind}),
      ('first', 'ppo'): metrics,
      ('ceiling', 'sft'): metrics,
      ('ceiling', 'ppo'): metrics,
      ('ceiling', 'rlp_uml'): metrics,
    }
    _, _, page, results = self.write(
      policies(),
      reward_models=models,
      fitted_rewards=('ceiling',),
      learnt_from={'ppo': 'first'},
    )
    found = results['reward_models']['first']['sft']
    self.assertEqual(found['further']['minimal']['accuracy']['value'], 0.5)
    self.assertEqual(found['further']['minimal']['count'], 4)
    brier = metrics.calibration.brier.value
    self.assertEqual(found['calibration']['brier']['value'], brier)
    shown, folded = page.split('## Reward models')[1].split('<details>')[:2]
    rows = [
      x.strip('| ').split(' | ')
      for x in shown.splitlines()
      if x.startswith('| ')
    ]
    minimal = rows[0].index('minimal')
    self.assertEqual(rows[0][:2], ['reward model on pairs', 'right'])
    self.assertEqual(
      [row[0] for row in rows[2:]],
      [
        'first on sft',
        'first on ppo',
        'ceiling on ppo',
      ],
    )
    self.assertIn('pairs made of the same samples: minimal.', shown)
    self.assertIn('to comparisons, without a network: ceiling.', shown)
    self.assertTrue(rows[2][minimal].startswith('0.50'))
    self.assertEqual(rows[3][minimal], '–')
    self.assertIn(f'{brier:.2f} [', folded)

  def test_of_many_policies_those_of_the_claims_come_first(self):
    found = policies() | {f'p{i}': policy(f'p{i}', 0.1) for i in range(20)}
    named = {f'p{i + 1} beats p{i}': (f'p{i + 1}', f'p{i}') for i in range(15)}
    contrasts = pooling.pool({0: found}, contrasts=named).contrasts
    _, _, page, _ = self.write(found, seed=0, contrasts=contrasts)
    shown, folded = page.split('## Samples')[0], page.split('## More')[1]
    # Fifteen claims are a table, and all of the same verdict are counted.
    self.assertIn('\nOf 15 claims 15 are undecided.\n', shown)
    claimed, first = (x for x in shown.split('\n\n') if x.startswith('|'))
    self.assertEqual(claimed.count(' beats '), 15)
    self.assertIn(' | p1 against p0 |', claimed)
    rows = [row.split(' | ')[0] for row in first.splitlines()[2:]]
    self.assertEqual(rows, ['| sft', *(f'| p{i}' for i in range(11))])
    answers = page.split('## Samples')[1].split('<details>')[0]
    self.assertEqual(answers.count('| p4 |'), 3)
    self.assertNotIn('| p5 |', answers)
    for name in found:
      self.assertIn(f'| {name} |', folded)

  def test_no_interval_of_a_sentence_is_broken_over_two_lines(self):
    _, _, page, _ = self.write(policies())
    (sentence,) = [x for x in page.splitlines() if '**ppo** beats' in x]
    _, _, numbers = sentence.partition('wins ')
    # '68 % [58, 76]' may end a line before its interval alone.
    self.assertLen(numbers.split(' '), 2)

  def test_training_of_many_stages_is_folded_together(self):
    for count in (6, 7):
      curves = {f's{i}': CURVES['sft'] for i in range(count)}
      with mock.patch.object(plots, 'learning_curves', empty_file):
        _, _, page, _ = self.write(policies(), curves=curves)
      more = page.split('## More')[1]
      self.assertEqual(more.count('<summary>Training of s'), count)
      together = f'<summary>Training of {count} stages'
      self.assertEqual(together in more, count == 7)

  def test_without_matplotlib_it_says_so(self):
    sys.modules.pop('rlhf_jax.evaluation.plots', None)
    with mock.patch.dict(sys.modules, {'matplotlib': None}):
      _, _, page, _ = self.write(
        policies(), curves=CURVES, reward_curves={'ppo': turning()}
      )
    self.assertEqual(list(self.out.glob('*.png')), [])
    self.assertNotIn('.png', page)
    self.assertEqual(page.count('matplotlib is not installed'), 1)
    self.assertIn('ppo: over-optimised.', page)

  def test_scores_of_several_scorers_are_told_apart(self):
    def by(*scorers):
      pairs = zip(policies().values(), scorers, strict=True)
      scored = [dataclasses.replace(p, scored_by=name) for p, name in pairs]
      return self.write({policy.name: policy for policy in scored})

    _, console, page, results = by('rm', 'mine.score', 'rm')
    self.assertEqual(results['policies']['ppo']['scored_by'], 'mine.score')
    for text in (console, page):
      self.assertIn('scored by', text)
      self.assertIn('have no unit in', flat(text))
    _, console, page, _ = by('rm', 'rm', 'rm')
    for text in (console, page):
      self.assertIn('The score is given by rm.', flat(text))
    self.assertNotIn('scored by', console)

  def test_a_narrow_console_has_whole_tables_and_sentences(self):
    found = policies()
    found['retrained_on_policy'] = found.pop('rlp_uml')
    contrasts = {'it beats PPO': ('retrained_on_policy', 'ppo')}
    measured = findings.Findings(
      title='A title',
      policies=summary.summarise(found),
      samples=found,
      contrasts={
        claim: claims.contrast([found], *pair)
        for claim, pair in contrasts.items()
      },
    )
    shown = report.write(self.out, measured, width=40).table
    self.assertLessEqual(max(map(len, shown.splitlines())), 40)
    wide = report.write(self.out, measured).table
    self.assertLessEqual(max(map(len, wide.splitlines())), 80)
    numbers = re.findall(r'\d\.\d\d \[.*?\]', wide.split('\n\n')[0])
    self.assertLen(numbers, 2)
    for number in numbers:
      self.assertIn(number, shown)

  def test_who_scores_is_said_where_the_scores_are(self):
    found = {
      name: dataclasses.replace(policy, scored_by='rm')
      for name, policy in policies().items()
    }
    _, _, page, _ = self.write(found)  # Whose gold is in the first table.
    above, fold = page.split('<summary>More of the policies', 1)
    self.assertIn('gold', above)
    self.assertNotIn('score is given by', flat(above))
    self.assertIn('score is given by', flat(fold.split('</details>')[0]))

  def test_length_is_mentioned_where_it_matters(self):
    # Most of ppo's responses are longer, and those win, but for a few.
    found, place = policies(), np.arange(COUNT) % 20
    won = place >= 4
    won[:20:7] = ~won[:20:7]
    found['ppo'] = samples.PolicySamples(
      name='ppo',
      prompts=PROMPTS,
      responses=['x' * (6 + 4 * more) for more in place],
      lengths=np.ones(COUNT),
      ended=np.ones(COUNT, bool),
      gold=np.where(won, 9.0, -9.0),
    )
    measured, console, _, _ = self.write(found)
    self.assertAlmostEqual(measured['ppo'].win_rate.value, 47 / 60)
    self.assertIn('ppo: length matters; a fit over lengths has it', console)
    self.assertNotIn('rlp_uml: length', console)
    # Whose responses all have four letters more.
    self.assertIn('rlp_uml: its win rate at equal length cannot', console)

  def test_missing_verdicts_are_mentioned(self):
    found = policies()
    found['ppo'].gold[:2] = np.nan
    _, console, _, _ = self.write(found)
    self.assertIn('ppo: 2 of 60 pairs had no verdict', console)

  def test_claims_come_first_and_a_single_seed_says_what_it_is(self):
    found = policies()
    claims = {'UML helps': ('rlp_uml', 'ppo')}
    pooled = pooling.pool({3: found}, contrasts=claims)
    contrast = pooled.contrasts['UML helps']
    wins = np.mean(found['rlp_uml'].gold > found['ppo'].gold)
    _, console, page, results = self.write(
      found, seed=3, contrasts=pooled.contrasts
    )
    first = page.replace(tables.NO_BREAK, ' ').split('\n\n')[1]
    self.assertIn('**UML helps**: does not; rlp_uml wins', first)
    self.assertIn(f' {100 * wins:.0f} % [', first)
    for text in (console, page):
      self.assertIn('intervals cover the choice of prompts only', flat(text))
    self.assertIn('UML helps: does not; rlp_uml wins', console)
    saved = results['contrasts']['UML helps']
    self.assertEqual(saved['verdict'], 'does not')
    self.assertAlmostEqual(saved['win_rate']['value'], wins)
    self.assertEqual(contrast.verdict, 'does not')
    self.assertEqual(results['seed'], 3)

  def test_who_judges_is_said_to_have_trained_only_what_it_did(self):
    found = {
      name: dataclasses.replace(s, scored_by='reward_model')
      for name, s in policies(gold=False).items()
    }
    learnt = {'ppo': 'reward_model', 'rlp_uml': 'another'}
    _, _, page, _ = self.write(found, learnt_from=learnt)
    self.assertIn(
      'judged by the reward reward_model, which ppo learnt from.', page
    )
    _, _, page, _ = self.write(found, learnt_from={})
    self.assertIn('judged by the reward reward_model.', page)

  def test_a_gold_reward_of_ones_own_is_not_called_the_truth(self):
    found = policies()
    mine = summary.summarise(found, gold='mine.score')
    self.assertIn('Gold is what mine.score gives,', legends.of(mine))
    theirs = summary.summarise(found)
    self.assertIn('Gold is the true reward,', legends.of(theirs))

  def test_scores_of_two_rewards_judge_nobody(self):
    found = policies(gold=False)
    found['ppo'] = dataclasses.replace(found['ppo'], scored_by='another')
    _, _, page, _ = self.write(found)
    self.assertIn('judged by nobody', page)

  def test_few_reward_models_are_shown_and_all_are_folded(self):
    generator = np.random.default_rng(0)
    metrics = preference_accuracy.measure(
      generator.normal(1, 1, 50), generator.normal(0, 1, 50)
    )
    pairs = [(m, p) for m in ('first', 'second') for p in policies()]
    _, _, page, _ = self.write(
      policies(),
      reward_models=dict.fromkeys(pairs, metrics),
      learnt_from={'ppo': 'first', 'rlp_uml': 'second'},
    )
    shown, folded = page.split('## Reward models')[1].split('<details>')[:2]
    self.assertEqual(
      [x.split(' | ')[0] for x in shown.splitlines() if '0.' in x],
      [
        '| first on sft',
        '| first on ppo',
        '| second on sft',
        '| second on rlp_uml',
      ],
    )
    self.assertEqual(sum('| 50 |' in x for x in folded.splitlines()), 6)

  def test_rewards_that_have_no_unit_in_common_have_panels_of_their_own(self):
    curve = turning()
    curves = {'ppo': curve, 'dpo': curve, 'uml': curve}
    curves['on_gold'] = curve._replace(score=curve.gold)
    learnt_from = {'ppo': 'a', 'dpo': 'a', 'uml': 'b', 'on_gold': 'gold'}
    with mock.patch.object(plots, 'save') as save:
      plots.reward_curves(pathlib.Path('x.png'), curves, learnt_from)
    sheet = save.call_args.args[0]
    found = {
      panel.get_title(loc='left'): panel.get_legend_handles_labels()[1]
      for panel in sheet.axes
      if panel.axison
    }
    self.assertEqual(
      found,
      {
        'Gold reward: what was meant': ['ppo', 'dpo', 'uml', 'on_gold'],
        'Score by a': ['ppo', 'dpo'],
        'Score by b': ['uml'],
      },
    )

  def test_the_legend_of_rewards_covers_no_curve(self):
    curves = {f'policy_{i}': turning() for i in range(9)}
    with mock.patch.object(plots, 'save') as save:
      plots.reward_curves(pathlib.Path('x.png'), curves)
    sheet = save.call_args.args[0]
    (legend,) = sheet.legends
    self.assertEqual([t.get_text() for t in legend.get_texts()], [*curves])
    backend_agg.FigureCanvasAgg(sheet).draw()
    for panel in sheet.axes:
      self.assertFalse(legend.get_tightbbox().overlaps(panel.get_tightbbox()))


class ChosenTest(absltest.TestCase):
  def test_constants_and_repetitions_are_not_drawn(self):
    found = learning_curves.chosen(
      {
        'step': [1, 2, 3],
        'gradient_norm': [1.0, 3.0, 2.0],
        'kl_coef': [0.1, 0.1, 0.1],
        'loss/likelihood': [3.0, 2.0, 1.0],
        'nll_per_token': [3.0, 2.0, 1.0],
        'gold': [np.nan, np.nan, np.nan],
        'seconds/update': [1.0, 2.0, 3.0],
      }
    )
    self.assertEqual(found.first, ['nll_per_token'])
    self.assertEqual(found.rest, ['gradient_norm'])
    self.assertEqual(found.constant, {'kl_coef': 0.1})

  def test_what_a_name_does_not_say_is_explained(self):
    said = learning_curves.explained({'step': [1], 'sigma': [1.0]})
    self.assertEqual(
      said, '`sigma`: standard deviation of a latent, given the responses.'
    )
    self.assertEqual(learning_curves.explained({'step': [1]}), '')

  def test_a_policys_gaps_are_in_nats_and_a_rewards_in_its_units(self):
    self.assertEqual(learning_curves.unit('log_ratio_gap'), 'nats')
    self.assertEqual(learning_curves.unit('log_odds'), 'nats')
    self.assertEqual(learning_curves.unit('margin'), 'reward units')
    self.assertEqual(learning_curves.unit('my_own'), '')


class ResponsesTest(parameterized.TestCase):
  def test_side_by_side(self):
    found = policies()
    page = blocks.markdown(
      side_by_side.of_rows(found, [0, 1], ['gold', 'score'])
    )
    # Text from a policy is shown as it is, and cannot break the table.
    self.assertIn('| sft | sft says<br>0 \\| &lt;i&gt; |', page)
    self.assertIn(f'| {found["ppo"].gold[1]:.2f} |', page)
    self.assertIn(f'| {found["ppo"].score[1]:.2f} |', page)
    self.assertIn('> add 1 \\| &lt;b&gt;?', page)
    self.assertNotIn('add 2', page)

  def test_first_what_was_meant_then_what_was_learnt_from(self):
    scores = side_by_side.scores_of
    self.assertEqual(scores(policies()), ['gold', 'score'])
    self.assertEqual(scores(policies(gold=False)), ['score'])
    self.assertEqual(scores(policies(gold=False, score=False)), [])

  def test_kinds_take_turns_and_prompts_come_once(self):
    kinds = 'aaaabbc'
    prompts = [
      Prompt((Message('user', str(i // 2)),), kind=kinds[i // 2])
      for i in range(14)
    ]
    rows = samples.PolicySamples(
      name='sft',
      prompts=prompts,
      responses=['x'] * 14,
      lengths=np.ones(14),
      ended=np.ones(14, bool),
    )
    self.assertEqual(side_by_side.rows_shown(rows, 5), [0, 8, 12, 2, 10])
    self.assertEqual(side_by_side.rows_shown(rows, 99), [0, 8, 12, 2, 10, 4, 6])

  def test_turns_of_a_prompt_stay_lines(self):
    turns = (Message('user', 'a'), Message('assistant', 'b'))
    asked = Prompt((*turns, Message('user', 'c')))
    found = dataclasses.replace(policy('sft', 0.0), prompts=[asked] * COUNT)
    page = blocks.markdown(side_by_side.of_rows({'sft': found}, [0], []))
    self.assertIn('> user: a  \n> assistant: b  \n> user: c\n\n|', page)

  def test_of_a_long_prompt_the_end_is_shown(self):
    asked = Prompt((Message('user', 'a' * 5000 + 'the question'),))
    found = dataclasses.replace(policy('sft', 0.0), prompts=[asked] * COUNT)
    page = blocks.markdown(side_by_side.of_rows({'sft': found}, [0], []))
    self.assertRegex(page, r'> \[…\] a{500,600}the question\n')

  def test_long_responses_are_cut(self):
    found = {'sft': policy('sft', 0.0)}
    found['sft'].responses[0] = 'y' * 5000
    page = blocks.markdown(side_by_side.of_rows(found, [0], []))
    self.assertIn('y' * side_by_side.LONGEST_SHOWN + ' […]', page)
    self.assertNotIn('y' * (side_by_side.LONGEST_SHOWN + 1), page)


class ColumnsTest(parameterized.TestCase):
  def test_rows_become_columns_with_holes(self):
    rows = [{'step': 1, 'kl': 0.5}, {'step': 2, 'gold': 3.0}]
    np.testing.assert_equal(
      report.columns(rows),
      {'step': [1, 2], 'kl': [0.5, np.nan], 'gold': [np.nan, 3.0]},
    )

  def test_markdown_aligns_left_then_right(self):
    actual = tables.markdown([['a', 'b', 'c'], ['1', '2', '3|']], left=2)
    self.assertEqual(
      actual.splitlines(),
      ['| a | b | c |', '| --- | --- | ---: |', '| 1 | 2 | 3\\| |'],
    )

  def test_numbers_of_a_page_break_before_their_intervals_alone(self):
    row = ['a [b, c]', '0.5 [0.4, 0.6]', '1.0 ± 0.1', '0.3 (sd 0.7)']
    (*_, actual) = tables.markdown([['h'] * 4, row]).splitlines()
    parts = actual.replace(tables.NO_BREAK, '~')
    self.assertEqual(
      parts, '| a [b, c] | 0.5 [0.4,~0.6] | 1.0 ±~0.1 | 0.3 (sd~0.7) |'
    )
    said = 'a (b c): it wins 68 % [-5, 76]. ± is an error [c d].'
    parts = tables.unbroken(said).replace(tables.NO_BREAK, '~')
    self.assertEqual(
      parts, 'a (b c): it wins 68~% [-5,~76]. ± is an error [c d].'
    )


if __name__ == '__main__':
  absltest.main()
