"""People choose between responses, and nothing that they said is lost."""

import concurrent.futures
import contextlib
import errno
import functools
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from launch import annotate
from launch.annotating import desk as desks
from launch.annotating import pairs, server, summary
from launch.annotating.desk import Desk, RequestError
from launch.annotating.pairs import Pair
from rlhf_jax.data import formats
from rlhf_jax.evaluation import annotators
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers
from rlhf_jax.storage import journal
from rlhf_jax.types import Message, Prompt
from tests.launch import served

ROOT = pathlib.Path(__file__).parents[2]


def asked(text, kind=''):
  return Prompt((Message('user', text),), kind)


def some(count, policies=('', '')):
  return [
    Pair(asked(f'q{i}'), (f'good {i}', f'bad {i}'), policies)
    for i in range(count)
  ]


class Scratch(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    scratch = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(scratch)
    self.out = self.folder / 'choices.jsonl'

  def desk(self, found, **options):
    kept = self.enterContext(contextlib.closing(journal.Journal(self.out)))
    return Desk(found, kept, **options)

  def rows(self):
    return [json.loads(line) for line in self.out.read_text().splitlines()]

  def write(self, name, *rows):
    path = self.folder / name
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return str(path)


class DeskTest(Scratch):
  def judge(self, desk, name, said='left'):
    shown = desk.next(name)
    if shown is not None:
      desk.choose(name, shown.pair.name, said, shown.left, 1.0)
    return shown

  def test_each_pair_goes_to_as_many_as_asked(self):
    desk = self.desk(some(20), each=2)
    left = ['ann', 'bob', 'cy']
    while left:
      left = [name for name in left if self.judge(desk, name)]
    self.assertTrue(desk.complete)
    found = [(row['pair'], row['annotator']) for row in self.rows()]
    self.assertLen(found, 40)
    self.assertLen(set(found), 40)
    self.assertEqual([desk.judged(pair) for pair in desk.pairs], [2] * 20)

  def test_a_pair_before_somebody_is_not_shown_to_another_meanwhile(self):
    now = [0.0]
    desk = self.desk(some(1), clock=lambda: now[0])
    shown = desk.next('ann')
    self.assertIsNone(desk.next('bob'))
    self.assertEqual(desk.progress('bob'), (0, 1))
    now[0] = desks.KEPT_FOR + 1
    self.assertEqual(desk.next('bob').pair, shown.pair)
    # Both say something: neither is lost.
    for name in ('ann', 'bob'):
      desk.choose(name, shown.pair.name, 'equal', 1, 1.0)
    self.assertLen(self.rows(), 2)

  def test_the_same_is_shown_again_until_something_is_said(self):
    desk = self.desk(some(9))
    self.assertEqual(desk.next('ann'), desk.next('ann'))

  def test_a_side_is_drawn_for_everybody_and_pair(self):
    desk = self.desk(some(200), each=9)
    left = {'ann': [], 'bob': []}
    for name, sides in left.items():
      while shown := self.judge(desk, name):
        sides.append(shown.left)
      self.assertBetween(sides.count(1), 70, 130)
    same = sum(a == b for a, b in zip(*left.values(), strict=True))
    self.assertBetween(same, 70, 130)
    rows = self.rows()
    self.assertTrue(all(row['choice'] == row['left'] for row in rows))

  def test_going_back_puts_what_is_said_in_the_place_of_what_was(self):
    desk = self.desk(some(3))
    first = self.judge(desk, 'ann', 'right')
    self.assertTrue(first.first)
    second = desk.next('ann')
    again = desk.back('ann', second.pair.name)
    self.assertEqual((again.pair, again.said), (first.pair, 'right'))
    self.assertEqual(again.left, first.left)
    with self.assertRaisesRegex(RequestError, 'nothing before'):
      desk.back('ann', again.pair.name)
    desk.choose('ann', again.pair.name, 'unsure', again.left, 1.0)
    (row,) = self.rows()
    self.assertEqual(row['choice'], 'unsure')
    self.assertEqual(desk.next('ann').pair, second.pair)

  def test_who_skips_leaves_the_pair_to_others(self):
    desk = self.desk(some(1))
    self.judge(desk, 'ann', 'skip')
    self.assertIsNone(desk.next('ann'))
    self.assertFalse(desk.complete)
    self.assertIsNotNone(self.judge(desk, 'bob', 'unsure'))
    self.assertTrue(desk.complete)

  def test_goes_on_where_it_was(self):
    found, before = some(6), []
    desk = self.desk(found)
    before += [self.judge(desk, 'ann').pair.name for _ in range(2)]
    desk._journal.close()
    desk = self.desk(list(reversed(found)))
    self.assertEqual(desk.progress('ann'), (2, 4))
    while shown := self.judge(desk, 'ann'):
      before.append(shown.pair.name)
    self.assertCountEqual(before, [pair.name for pair in found])

  def test_the_same_text_twice_is_equal_and_shown_to_nobody(self):
    found = [Pair(asked('q'), ('a', 'a')), *some(1)]
    for _ in range(2):
      desk = self.desk(found)
      self.assertLen(desk.pairs, 1)
      (row,) = self.rows()
      self.assertEqual((row['choice'], row['annotator']), ('equal', ''))
      desk._journal.close()

  def test_what_cannot_be_said(self):
    desk = self.desk(some(1))
    name = desk.next('ann').pair.name
    for wrong in (
      ('0f', 'left', 1),
      (name, 'best', 1),
      (name, None, 1),
      (name, 'left', 3),
      (name, 'left', None),
      (name, 'left', '1'),
    ):
      with self.assertRaisesRegex(RequestError, 'load the page again'):
        desk.choose('ann', *wrong, 1.0)
    for wrong in (None, '', ' \n', 'x' * 61, 'a\x00', 7, ['ann']):
      with self.assertRaisesRegex(RequestError, 'a name has letters'):
        desks.name_of(wrong)
    self.assertEqual(desks.name_of(' Ann  Lee\n'), 'Ann Lee')
    self.assertEqual(self.out.read_text(), '')


class PairsTest(Scratch):
  def test_rows_without_a_choice_and_rows_of_any_format_that_compares(self):
    own = {'prompt': 'q', 'response_1': 'a', 'response_2': 'b', 'mine': 1}
    found = pairs.of_file(self.write('own.jsonl', own, own))
    self.assertEqual([p.responses for p in found.pairs], [('a', 'b')])
    self.assertIn('1 pairs are there twice', found.notes[0])
    trl = {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
    found = pairs.of_file(self.write('trl.jsonl', trl))
    self.assertEqual([p.responses for p in found.pairs], [('a', 'b')])

  def test_answers_are_matched_by_their_prompts(self):
    def rows(*said):
      return [
        {'instruction': q, 'output': a, 'generator': 'g'} for q, a in said
      ]

    one = self.write('one.json', *rows(('q', 'a'), ('q', 'b'), ('r', 'c')))
    two = self.write('two.json', *rows(('r', 'd'), ('q', 'e'), ('s', 'f')))
    found = pairs.of_answers([one, two])
    self.assertEqual(
      [(p.prompt.text, p.responses) for p in found.pairs],
      [('q', ('a', 'e')), ('r', ('c', 'd'))],
    )
    self.assertEqual(found.pairs[0].policies, ('one', 'two'))
    self.assertIn('1 answers of one have none of the other', found.notes[0])

  def test_the_set_of_a_question_is_its_kind_and_wins_are_by_kind(self):
    def rows(answer):
      return [
        {'dataset': kind, 'instruction': kind, 'output': f'{answer} {kind}'}
        | {'generator': answer}
        for kind in ('koala', 'oasst')
      ]

    places = [self.write(f'{a}.json', *rows(a)) for a in ('one', 'two')]
    desk = self.desk(pairs.of_answers(places).pairs)
    for said in (1, 2):  # Of koala the first wins, of oasst the second.
      shown = desk.next('ann')
      koala = shown.pair.prompt.text == 'koala'
      side = 'left' if koala == (shown.left == 1) else 'right'
      desk.choose('ann', shown.pair.name, side, shown.left, float(said))
    said = summary.lines(annotators.read(self.out))[-1]
    self.assertIn('By kind of prompt:', said)
    self.assertRegex(said, r'koala 1\.00 ')
    self.assertRegex(said, r'oasst 0\.00 ')

  def test_answers_that_a_run_kept(self):
    for name, said in (('sft', 'no'), ('ppo', 'yes')):
      folder = self.folder / 'stages' / name
      folder.mkdir(parents=True)
      answers.write(
        folder / 'answers-0f.jsonl',
        PolicySamples(
          name=name,
          prompts=[asked('q', 'k')],
          responses=[said],
          lengths=np.ones(1, int),
          ended=np.ones(1, bool),
        ),
      )
    stages = [str(self.folder / 'stages' / name) for name in ('ppo', 'sft')]
    (pair,) = pairs.of_answers(stages).pairs
    self.assertEqual(pair.responses, ('yes', 'no'))
    self.assertEqual(pair.prompt.kind, 'k')
    self.assertEqual(pair.policies, ('ppo', 'sft'))
    with self.assertRaisesRegex(ValueError, 'stages/ppo. There are ppo, sft'):
      pairs.of_answers([str(self.folder), stages[1]])

  def test_of_what_was_evaluated_the_files_are_named(self):
    folder = self.folder / 'out'
    folder.mkdir()
    for name in ('answers-0.jsonl', 'answers-1.jsonl', 'model_outputs.json'):
      (folder / name).write_text('[{"instruction": "q", "output": "a"}]')
    said = f'{folder}/model_outputs.json and {folder}/reference_outputs.json'
    for beside in (False, True):
      if beside:
        (folder / 'reference_outputs.json').write_text('[]')
      with self.assertRaisesRegex(ValueError, said) as caught:
        pairs.of_answers([str(folder), str(folder)])
      self.assertNotIn('several measures', str(caught.exception))

  def test_what_cannot_be_asked_about(self):
    empty = {'prompt': ' ', 'response_1': 'a', 'response_2': 'b'}
    with self.assertRaisesRegex(ValueError, 'own.jsonl:1: .*cannot be asked'):
      pairs.of_file(self.write('own.jsonl', empty))
    one = self.write('one.jsonl', {'prompt': 'q', 'completion': 'a'})
    two = self.write('two.jsonl', {'prompt': 'r', 'completion': 'a'})
    with self.assertRaisesRegex(ValueError, 'answer no prompt in common'):
      pairs.of_answers([one, two])
    trl = {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
    with self.assertRaisesRegex(ValueError, 'no answers of one policy'):
      pairs.of_answers([one, self.write('trl.jsonl', trl)])
    with self.assertRaisesRegex(ValueError, 'no answers.*model_outputs.json'):
      pairs.of_answers([one, str(self.folder)])


class ServerTest(Scratch):
  def test_two_at_once_are_kept_apart_and_nothing_is_lost(self):
    desk, seen = self.desk(some(40), each=2), []

    def person(name):
      _, state = here.ask('next', name)
      while state['pair']:
        seen.append((name, state['pair'], state['texts'][0]))
        said = 'left' if state['texts'][0].startswith('good') else 'right'
        state = here.choose(state, said, name)
      return state

    with (
      served.served(desk) as here,
      concurrent.futures.ThreadPoolExecutor() as pool,
    ):
      ends = list(pool.map(person, ('ann', 'bob')))
    self.assertEqual([(e['done'], e['left']) for e in ends], [(40, 0)] * 2)
    rows = self.rows()
    self.assertLen(rows, 80)
    self.assertTrue(all(row['choice'] == 1 for row in rows))
    self.assertBetween(sum(row['left'] == 1 for row in rows), 20, 60)
    # A reward model reads it as it is.
    found = formats.comparisons(self.out)
    self.assertLen(found, 80)
    self.assertTrue(all(r.responses[0].startswith('good') for r in found))
    agreed = annotators.agreement(annotators.read(self.out))
    self.assertEqual((agreed.pairs, agreed.kappa.value), (40, 1.0))

  def test_the_page_runs_nothing_but_its_own_and_names_nothing(self):
    with served.served(self.desk(some(1))) as here:
      for name in ('', 'page.css', 'page.js'):
        with urllib.request.urlopen(here.address + name) as reply:
          policy = reply.headers['Content-Security-Policy']
          text = reply.read().decode()
        self.assertIn("default-src 'none'; script-src 'self'", policy)
        self.assertNotIn('unsafe', policy)
        self.assertNotRegex(text, r'innerHTML|\son\w+=|<script>|style=')
      for name in ('page.py', '../desk.py', 'desk.py', 'choices.jsonl'):
        self.assertEqual(served.opened(here.address + name)[0], 404)

  def test_who_may_not_ask(self):
    with served.served(self.desk(some(1))) as here:
      status, _ = here.ask('next', headers={'Host': 'evil.example'})
      self.assertEqual(status, 403)
      status, _ = here.ask('next', headers={'Content-Type': 'text/plain'})
      self.assertEqual(status, 415)
      self.assertEqual(here.ask('next', '')[0], 400)
      self.assertEqual(here.ask('choose', pair=7)[0], 400)
      status, found = here.ask('back', pair='')
      self.assertEqual(
        (status, 'nothing before' in found['error']), (400, True)
      )
    with served.served(self.desk_again(), token='secret-secret') as here:
      self.assertEqual(here.ask('next')[0], 200)
      for wrong in ('Bearer other', '', 'secret-secret', 'Bearer \xe9'):
        status, found = here.ask('next', headers={'Authorization': wrong})
        self.assertEqual(status, 403)
        self.assertNotIn('pair', found)

  def test_what_a_page_would_not_send_is_refused_and_not_written_down(self):
    desk = self.desk(some(2))
    with served.served(desk) as here:
      _, state = here.ask('next')
      good = {'pair': state['pair'], 'said': 'left', 'left': 1, 'seconds': 1.5}
      for wrong in (
        {'seconds': float('nan')},
        {'seconds': float('inf')},
        {'seconds': -0.1},
        {'seconds': 10**400},
        {'seconds': True},
        {'seconds': '1.5'},
        {'seconds': None},
        {'left': 1.0},
        {'left': True},
        {'said': ['left']},
        {'said': 'left '},
        {'pair': 'x'},
        {'pair': None},
        {'pair': 'x' * 60_000},
        {'annotator': 'x' * 61},
        {'annotator': {'ann': 1}},
        {'annotator': '\ud800'},
      ):
        status, found = here.ask('choose', **good | wrong)
        self.assertEqual((status, list(found)), (400, ['error']), wrong)
      for pair in ('x', 7):
        self.assertEqual(here.ask('back', pair=pair)[0], 400)
      self.assertEqual(self.rows(), [])
      here.ask('choose', **good | {'seconds': 10**300})
    (row,) = self.rows()
    self.assertEqual(row['seconds'], desks.SLOWEST)
    # What is written is what others read: strict JSON.
    json.loads(self.out.read_text(), parse_constant=self.fail)

  def desk_again(self):
    self.out = self.folder / 'more.jsonl'
    return self.desk(some(1))

  def test_a_full_disk_is_told_and_what_is_said_can_be_said_again(self):
    desk = self.desk(some(2))
    full = OSError(errno.ENOSPC, 'No space left on device')
    with served.served(desk) as here:
      _, state = here.ask('next')
      with mock.patch.object(journal.os, 'write', side_effect=full):
        status, found = here.ask(
          'choose', pair=state['pair'], said='left', left=1, seconds=1
        )
      self.assertEqual(status, 507)
      self.assertIn('the disk is full', found['error'])
      self.assertEqual(here.ask('next')[1]['pair'], state['pair'])
      here.choose(state, 'left')
    self.assertLen(self.rows(), 1)

  def test_what_came_out_is_said_to_nobody_before_all_is_judged(self):
    desk = self.desk(some(1), each=2)
    with served.served(desk, summary=lambda: ['ppo wins']) as here:
      for name, due in (('ann', []), ('bob', ['ppo wins'])):
        state = here.choose(here.ask('next', name)[1], 'equal', name)
        self.assertEqual(state['summary'], due)


class SummaryTest(absltest.TestCase):
  def test_who_wins_by_people(self):
    made = functools.partial(annotators.Choice, policies=('ppo', 'sft'))
    said = [
      made(str(i), asked(f'q{i}', 'ab'[i % 2]), 'ann', 1, 1) for i in range(3)
    ]
    said.append(made('9', asked('r', 'a'), '', 'equal'))
    lines = summary.lines(said)
    self.assertIn('3 choices on 3 pairs by 1 person: ann 3.', lines)
    (wins,) = [line for line in lines if 'ppo wins' in line]
    self.assertIn('ppo wins 0.88 [', wins)
    self.assertIn('against sft, people judging: 4 pairs, 1 of them even', wins)
    self.assertIn('no pair was judged by two', '\n'.join(lines))
    self.assertIn('By kind of prompt: a 0.83 [', lines[-1])

  def test_of_an_empty_file(self):
    self.assertEqual(summary.lines([])[0], '0 choices on 0 pairs by 0 people.')


class CommandTest(Scratch):
  def start(self, *options):
    """The command, and where its page is."""
    command = [sys.executable, '-m', 'launch.annotate', *options]
    running = subprocess.Popen(
      [*command, '--port', '0', '--out', str(self.out)],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    self.addCleanup(running.kill)
    for line in running.stdout:
      if found := re.search(r'open http://(\S+):(\d+)/#?(\S*)', line):
        return running, served.Served(int(found[2]), found[3])
    self.fail('it ended')

  def test_killed_and_stopped_it_goes_on_and_ends_with_the_win_rate(self):
    ones = [{'prompt': f'q{i}', 'completion': f'good {i}'} for i in range(4)]
    twos = [row | {'completion': 'bad'} for row in ones]
    compared = ['--compare', self.write('ppo.jsonl', *ones)]
    compared += [self.write('sft.jsonl', *twos)]
    running, here = self.start(*compared)
    state = here.choose(here.ask('next')[1], 'equal')
    running.send_signal(signal.SIGKILL)
    running.wait()
    with self.out.open('a') as file:
      file.write('{"prompt": [{"ro')  # What a power cut leaves.
    running, here = self.start(*compared)
    _, state = here.ask('next')
    self.assertEqual((state['done'], state['left']), (1, 3))
    while state['pair']:
      left = state['texts'][0].startswith('good')
      state = here.choose(state, 'left' if left else 'right')
    running.send_signal(signal.SIGTERM)
    said = ' '.join(running.stdout.read().split())
    self.assertEqual(running.wait(), 128 + signal.SIGTERM)
    self.assertIn('ppo wins 0.88 [', said)
    self.assertIn(f'stopped; every choice is in {self.out}', said)
    self.assertLen(formats.comparisons(self.out), 3)

  def told(self, *options, status=1, **environment):
    out, err = io.StringIO(), io.StringIO()
    with (
      contextlib.redirect_stdout(out),
      contextlib.redirect_stderr(err),
      mock.patch.dict(os.environ, environment),
    ):
      self.assertEqual(annotate.main(list(options)), status, err.getvalue())
    self.assertLess(err.getvalue().count('\n'), 2)
    return out.getvalue() + err.getvalue()

  def test_what_cannot_be_is_one_sentence(self):
    data = self.write(
      'd.jsonl', {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
    )
    self.assertIn('give DATA or --compare', self.told())
    self.assertIn('give DATA', self.told(data, '--compare', data, data))
    self.assertIn('--each must be 1', self.told(data, '--each', '0'))
    self.assertIn('there is no file', self.told(str(self.folder / 'x.jsonl')))
    for name, what in (('DATA', [data]), ('--compare', ['--compare', *'ab'])):
      said = self.told('--summary', 'gone.jsonl', *what)
      self.assertIn('--summary tells what a file of choices says', said)
      self.assertIn(f'leave out {name}', said)
    said = self.told('--compare', data, str(self.folder / 'no' / 'x.json'))
    self.assertIn('--compare: there is no folder', said)
    said = self.told(str(self.folder / 'no' / 'x.json'))
    self.assertIn('DATA: there is no folder', said)
    self.assertNotIn('data_dir', said)
    for gone in ('e.jsonl', 'no/e.jsonl'):
      said = self.told('--summary', str(self.folder / gone))
      self.assertIn(f'{gone}: there is no such file; name one that', said)
    self.assertIn('nobody chose here', self.told(data, '--out', data))
    self.assertEqual(json.loads(pathlib.Path(data).read_text())['chosen'], 'a')
    (socket, *_) = taken = server.bound('localhost', 0)
    port = str(socket.getsockname()[1])
    out = ('--out', str(self.out))
    self.assertIn('give another --port', self.told(data, '--port', port, *out))
    for one in taken:
      one.close()
    said = self.told(data, '--host', '203.0.113.9', *out)
    self.assertIn('nothing can be served at 203.0.113.9', said)
    short = self.told(data, '--host', '0.0.0.0', *out, ANNOTATE_TOKEN='short')
    self.assertIn('12 or more letters', short)
    with journal.Journal(self.out):
      self.assertIn('by another process', self.told(data, *out))
    with mock.patch.dict(sys.modules, {'tornado': None}):
      self.assertIn('pip install tornado', self.told(data, *out))

  def test_a_summary_of_a_file(self):
    desk = self.desk(some(2, ('ppo', 'sft')))
    shown = desk.next('ann')
    desk.choose('ann', shown.pair.name, 'skip', 1, 0.0)
    said = self.told('--summary', str(self.out), status=0)
    self.assertIn('1 choice on 1 pair by 1 person: ann 1.', said)
    self.assertIn('1 skip the pair', said)
    self.assertNotIn('wins', said)

  def test_the_token_stays_in_the_browser(self):
    token = annotate.token_of()
    self.assertGreaterEqual(len(token), 20)
    self.assertNotEqual(token, annotate.token_of())
    self.assertEqual(annotate.address('::1', 8, None), 'http://[::1]:8/')
    where = annotate.address('10.0.0.1', 8, token)
    self.assertEqual(where, f'http://10.0.0.1:8/#{token}')


if __name__ == '__main__':
  absltest.main()
