"""Measuring judges and policies from the command line."""

import contextlib
import dataclasses
import errno
import io
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest

from launch import evaluate
from launch.annotating import pairs as pairs_module
from rlhf_jax import progress
from rlhf_jax.data import tokens
from rlhf_jax.feedback import verdicts
from rlhf_jax.models import huggingface, language_model
from rlhf_jax.storage import folder_lock
from tests.experiment import small
from tests.feedback.endpoint_server import Server, said

ROOT = pathlib.Path(__file__).parents[2]
PAIRS = [
  {'prompt': 'p one', 'chosen': 'good long', 'rejected': 'bad'},
  {'prompt': 'p two', 'chosen': 'good', 'rejected': 'bad and long'},
  {'prompt': 'p three', 'chosen': 'good more', 'rejected': 'bad'},
]


def run(*arguments):
  """Exit status, standard output and standard error."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = evaluate.main(list(map(str, arguments)))
  return status, out.getvalue(), err.getvalue()


@pytest.fixture
def pairs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  path = tmp_path / 'pairs.jsonl'
  path.write_text(''.join(json.dumps(row) + '\n' for row in PAIRS))
  return path


def result(folder):
  return json.loads((folder / 'results.json').read_text())


def prefers_good(number, body):
  text = body['messages'][-1]['content']
  return 200, {}, said('A' if text.index('good') < text.index('bad') else 'B')


def test_the_longer(pairs, tmp_path):
  status, out, err = run('--judge', 'longer', '--pairs', pairs, '--out', 'o')
  assert status == 0, err
  assert 'all    0.67 [' in out
  assert f'the longer on {pairs}: 3 comparisons, 3 pairs of two diff' in out
  found = result(tmp_path / 'o')['agreement']['all']
  assert found['accuracy']['value'] == pytest.approx(2 / 3)
  assert found['first']['value'] == 0.5
  rows = (tmp_path / 'o' / 'verdicts.jsonl').read_text().splitlines()
  assert [json.loads(row)['credits'] for row in rows] == [
    [1.0, 1.0], [0.0, 0.0], [1.0, 1.0],
  ]  # fmt: skip


def test_coins_say_nothing_of_the_order(pairs, tmp_path):
  (tmp_path / 'my_first.py').write_text(
    'def first(prompts, responses, others):\n'
    '  return [1.0 for _ in responses]\n'
  )
  rows = [
    {'prompt': f'p{i}', 'chosen': f'good {i}', 'rejected': f'bad {i}'}
    for i in range(40)
  ]
  pairs.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  shared = ('--judge', 'my_first.first', '--flips', 0.25)
  status, out, err = run(*shared, '--pairs', pairs, '--out', 'o')
  assert status == 0, err
  # It says the first of all that it is asked about, which are about half.
  found = result(tmp_path / 'o')['agreement']['all']
  assert found['first']['value'] == 1.0
  assert found['same']['value'] == 0.0
  (coins,) = map(int, re.findall(r'A coin decided (\d+) of 40 pairs', out))
  assert 10 <= coins <= 30
  credits = [
    json.loads(x)['credits'] for x in (tmp_path / 'o/verdicts.jsonl').open()
  ]
  assert sum(a == b for a, b in credits) == coins


def test_a_folder_that_another_process_writes_is_refused(pairs, tmp_path):
  with folder_lock.alone(tmp_path / 'o'):
    status, _, err = run('--judge', 'longer', '--pairs', pairs, '--out', 'o')
  assert status == 1
  assert 'o is being written by another process; stop that one' in err


def test_win_rates_of_models_by_people_and_the_judge(pairs, tmp_path):
  said = {'instruction': 'q', 'input': '', 'annotators': []}
  rows = [  # The judge has a win twice, and once people prefer the shorter.
    {'response_1': 'a long one', 'response_2': 'short', 'label': 1}
    | {'model_1': 'm', 'model_2': 'n'},
    {'response_1': 'long', 'response_2': 'shorter', 'label': 2}
    | {'model_1': 'n', 'model_2': 'o'},
    {'response_1': 'long', 'response_2': 'longer', 'label': 1}
    | {'model_1': 'm', 'model_2': 'o'},
  ]
  pairs.write_text(''.join(json.dumps(said | row) + '\n' for row in rows))
  status, out, err = run('--judge', 'longer', '--pairs', pairs, '--out', 'o')
  assert status == 0, err
  found = result(tmp_path / 'o')['models']
  assert {
    name: (rate['by_labels']['value'], rate['by_judge']['value'], rate['count'])
    for name, rate in found['rates'].items()
  } == {'m': (1.0, 0.5, 2), 'o': (0.5, 1.0, 2), 'n': (0.0, 0.0, 2)}
  # Ranks of m, o, n: 1, 2, 3 and 2, 1, 3, so 1 − 6 · 2 / (3 · 8).
  assert found['rank_correlation']['value'] == pytest.approx(0.5)
  assert 'wins by the labels  wins by the judge' in out
  assert "Rank correlation of the two win rates (Spearman's ρ): 0.50" in out
  kept = [json.loads(x) for x in (tmp_path / 'o/verdicts.jsonl').open()]
  assert [row['models'] for row in kept] == [['m', 'n'], ['o', 'n'], ['m', 'o']]


def test_how_many_pairs_comparisons_have(pairs):
  rows = [
    {
      'question': f'p{i}', 'category': 'c', 'answers': [
        {'model': text, 'text': text, 'mean_score': score}
        for text, score in ((f'{i}', 4.0), ('22', 3), ('333', 2), ('22', 1))
      ],
    }
    for i in range(2)
  ]  # fmt: skip
  pairs.write_text('\n'.join(map(json.dumps, rows)))
  arguments = ('--judge', 'longer', '--pairs', pairs, '--out', 'o')
  status, out, err = run(*arguments)
  assert status == 0, err
  # Of four responses six pairs, of which one has the same text twice.
  assert ': 2 comparisons, 10 pairs of two different responses\n' in out
  status, out, err = run(*arguments, '--per-prompt', 2, '--count', 3)
  assert status == 0, err
  assert ': 2 comparisons, 3 pairs of two different responses (--per-p' in out
  assert '(--per-prompt 2, --count 3)' in out
  many = ('--count', 1234567, '--least-gap', 0.5)
  status, out, err = run(*arguments, *many)
  assert status == 0, err
  assert '(--least-gap 0.5, --count 1234567)' in out


def test_a_program_of_either_kind(pairs, tmp_path):
  (tmp_path / 'my_judges.py').write_text(
    'def score(prompts, responses):\n'
    "  return [text.count('good') for text in responses]\n\n"
    'def first(prompts, responses, others):\n'
    '  return [1.0 for _ in responses]\n'
  )
  accuracy, bias = {}, {}
  for name in ('score', 'first'):
    status, _, err = run(
      '--judge', f'my_judges.{name}', '--pairs', pairs, '--out', name
    )
    assert status == 0, err
    found = result(tmp_path / name)['agreement']['all']
    accuracy[name] = found['accuracy']['value']
    bias[name] = found['first']['value']
  assert accuracy == {'score': 1.0, 'first': 0.5}
  assert bias == {'score': 0.5, 'first': 1.0}


def test_judges_of_one_module_have_folders_of_their_own(pairs):
  pairs.with_name('my_two.py').write_text(
    'def one(prompts, responses):\n  return [len(x) for x in responses]\n\n\n'
    'def other(prompts, responses):\n  return [-len(x) for x in responses]\n'
  )
  for name in ('one', 'other'):
    status, _, err = run('--judge', f'my_two.{name}', '--pairs', pairs)
    assert status == 0, err
  found = sorted(path.name for path in pathlib.Path('runs/evaluate').iterdir())
  assert found == ['pairs-my_two_one', 'pairs-my_two_other']


def test_templates_with_models_have_folders_of_their_own(pairs, tmp_path):
  for name in ('gpt4', 'claude'):
    (tmp_path / f'{name}.txt').write_text(
      MEMBER.replace('(?:{number}: )?', '') % (f'model: {name}', PAIR)
    )
  with Server(prefers_good) as server:
    for names in ('gpt4.txt', 'claude.txt', 'gpt4.txt, claude.txt'):
      status, _, err = run(
        '--judge', server.url, '--pairs', pairs, '--template', names
      )
      assert status == 0, err
  port = server.url.split(':')[2].removesuffix('/v1')
  found = {path.name for path in pathlib.Path('runs/evaluate').iterdir()}
  assert found == {
    f'pairs-127_0_0_1-{port}-{names}'
    for names in ('gpt4', 'claude', 'gpt4-claude')
  }


def test_a_folder_is_named_by_nothing_secret():
  options = evaluate.parse([
    '--judge', 'http://user:secret@host:80/v1?key=secret', '--pairs', 'p.jsonl',
    '--template', 'a.txt',
  ])  # fmt: skip
  name = evaluate.default_out(options).name
  assert name == 'p-host-80-a'


def test_an_endpoint_that_goes_away_is_not_asked_twice(pairs, tmp_path):
  def gone_after_two(number, body):
    return prefers_good(number, body) if number < 2 else (404, {}, b'')

  arguments = (
    '--judge', None, '--model', 'm', '--pairs', pairs, '--out', 'o',
    '--template', 'pair_choice_1', '--concurrency', 1,
  )  # fmt: skip
  with Server(gone_after_two) as server:
    status, _, err = run(*('--judge', server.url), *arguments[2:])
    assert status == 1
    assert 'refuses with 404' in err
    assert len(server.bodies) == 3
    server._script = prefers_good
    status, out, err = run(*('--judge', server.url), *arguments[2:])
    assert status == 0, err
    assert '4 questions (6 with those answered before)' in err
    assert len(server.bodies) == 3 + 4
  assert 'all    1.00 [' in out


def test_rewardbench_by_subset(pairs, tmp_path):
  rows = [
    row
    | {'id': i, 'subset': subset, 'chosen_model': 'x', 'rejected_model': 'y'}
    for i, (row, subset) in enumerate(
      zip(PAIRS, ('alpacaeval-easy', 'donotanswer', 'donotanswer'), strict=True)
    )
  ]
  path = tmp_path / 'rewardbench.json'
  path.write_text(json.dumps(rows))
  status, out, err = run('--judge', 'longer', '--pairs', path, '--out', 'o')
  assert status == 0, err
  sections = result(tmp_path / 'o')['sections']
  assert [(k, v['value']) for k, v in sections.items()] == [
    ('Chat', 1.0),
    ('Safety', 0.5),
  ]
  assert 'Sections of RewardBench:' in out
  assert 'Without alpacaeval-length, alpacaeval-hard' in out
  found = result(tmp_path / 'o')['agreement']
  right = {name: row['accuracy']['value'] for name, row in found.items()}
  assert right == {
    'all': pytest.approx(2 / 3),
    'alpacaeval-easy': 1.0,
    'donotanswer': 0.5,
  }


def test_a_full_disk_is_a_sentence(pairs, monkeypatch):
  def full(descriptor):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr('os.fsync', full)
  status, out, err = run('--judge', 'longer', '--pairs', pairs, '--out', 'o')
  assert (status, out) == (1, '')
  assert 'o/asked.jsonl: the disk is full; make room' in err
  assert 'Traceback' not in err


def test_wrong_columns_are_named(pairs):
  pairs.write_text('{"question": "p", "good": "a", "bad": "b"}\n')
  status, _, err = run('--judge', 'longer', '--pairs', pairs)
  assert status == 1
  assert 'pairs.jsonl:1: ' in err
  assert err.endswith('as in prompt=question (--columns).\n')
  columns = 'prompt=question,chosen=good,rejected=bad'
  status, _, err = run(
    '--judge', 'longer', '--pairs', pairs, '--columns', columns
  )
  assert status == 0, err


def test_what_is_unread_is_counted(pairs, tmp_path):
  def hesitates(number, body):
    if 'p two' in body['messages'][-1]['content']:
      return 200, {}, said('Hard to say.')
    return prefers_good(number, body)

  with Server(hesitates) as server:
    status, _, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--template', 'pair_choice_1',
    )  # fmt: skip
  assert status == 0, err
  found = result(tmp_path / 'o')['agreement']['all']
  assert (found['count'], found['unread']) == (2, 1)


def test_nothing_is_spent_unasked(pairs, monkeypatch):
  arguments = ('--model', 'm', '--pairs', pairs, '--prices', 1, 2)
  with Server(prefers_good) as server:
    status, _, err = run('--judge', server.url, *arguments)
    assert status == 1
    assert 'at most about 0.00' in err
    assert '--yes says that it may' in err
    console = io.StringIO('n\n')
    console.isatty = lambda: True
    monkeypatch.setattr('sys.stdin', console)
    status, _, err = run('--judge', server.url, *arguments)
    assert (status, 'nothing was asked' in err) == (1, True)
    assert server.bodies == []
    status, _, err = run('--judge', server.url, *arguments, '--yes')
    assert status == 0, err
    assert len(server.bodies) == 6


def test_templates_share_the_prompts(pairs, tmp_path):
  arguments = (
    '--model', 'm', '--pairs', pairs, '--out', 'o', '--template',
    'persona_long_1,persona_short_1',
  )  # fmt: skip
  with Server(prefers_good) as server:
    status, _, err = run('--judge', server.url, *arguments)
    assert status == 0, err
    assert len(server.bodies) == 6
    said_to = {}
    for body in server.bodies:
      system, user = (message['content'] for message in body['messages'])
      prompt = next(row['prompt'] for row in PAIRS if row['prompt'] in user)
      said_to.setdefault(prompt, set()).add('in a hurry' in system)
    assert all(len(tastes) == 1 for tastes in said_to.values())
    found = result(tmp_path / 'o')
    assert found['judge'] == 'm, persona_long_1 + persona_short_1'
    assert found['agreement']['all']['accuracy']['value'] == 1.0
    status, _, err = run('--judge', server.url, *arguments, '--flips', 0.5)
    assert status == 0, err
    assert len(server.bodies) == 6  # Coins alone.
    status, _, err = run('--judge', server.url, *arguments, '--flips', 0.6)
    assert (status, 'from 0 to 0.5, got 0.6' in err) == (1, True)


MEMBER = """\
verdict: ^(?:{number}: )?([AB])$
first: A
second: B
%s
---
%s
"""
PAIR = '{instruction}: {output_1} or {output_2}?'


def write_four_and_one(folder):
  """Writes templates, of which the one asks about four pairs together."""
  (folder / 'four.txt').write_text(
    MEMBER.replace('(?:{number}: )?', '{number}: ')
    % ('together: 4', f'<|each|>\n{{number}}: {PAIR}\n<|end|>')
  )
  (folder / 'one.txt').write_text(
    MEMBER.replace('(?:{number}: )?', '') % ('max_tokens: 9', PAIR)
  )


def prefers_good_each(number, body):
  """As `prefers_good`, of several pairs that are asked about together too."""
  lines = body['messages'][-1]['content'].splitlines()
  if not lines[0].startswith('1: '):
    return prefers_good(number, body)
  letters = [
    'A' if line.index('good') < line.index('bad') else 'B' for line in lines
  ]
  numbered = [f'{i}: {letter}' for i, letter in enumerate(letters, 1)]
  return 200, {}, said('\n'.join(numbered))


def many(path, count):
  """Writes so many pairs, of which the shorter is the better one."""
  rows = [
    {'prompt': f'p{i}', 'chosen': f'good{i}', 'rejected': f'bad  {i}'}
    for i in range(count)
  ]
  path.write_text('\n'.join(map(json.dumps, rows)))


def test_members_ask_models_of_their_own(pairs, tmp_path):
  many(pairs, 12)
  one, two = tmp_path / 'one.txt', tmp_path / 'two.txt'
  one.write_text(
    MEMBER.replace('(?:{number}: )?', '')
    % ('model: big\ntemperature: 1.0', f'Terse. {PAIR}')
  )
  two.write_text(
    MEMBER.replace('(?:{number}: )?', '') % ('max_tokens: 9', f'Long. {PAIR}')
  )
  arguments = (
    '--pairs', pairs, '--out', 'o', '--template', 'one.txt,two.txt',
    '--prices', 1e6, 0, '--yes',
  )  # fmt: skip
  own = ('--model', 'small', '--judge-temperature', 0.5)
  with Server(prefers_good) as server:
    status, _, err = run('--judge', server.url, *arguments)
    assert (status, 'since the template two names none' in err) == (1, True)
    status, out, err = run('--judge', server.url, *arguments, *own)
    assert status == 0, err
    asked_by = {}
    for body in server.bodies:
      wording, prompt, *_ = body['messages'][0]['content'].split()
      how = body['model'], body['temperature'], body['max_tokens']
      assert how == {
        'Terse.': ('big', 1.0, 256), 'Long.': ('small', 0.5, 9),
      }[wording]  # fmt: skip
      asked_by.setdefault(prompt, []).append(body['model'])
    # Each prompt in both orders, by one of them alone.
    assert len(asked_by) == 12
    assert all(len(x) == 2 and len(set(x)) == 1 for x in asked_by.values())
    bigs = sum('big' in x for x in asked_by.values())
    assert 0 < bigs < 12
    said_of_it = ' '.join(err.split())
    assert f'big: {2 * bigs} questions: about' in said_of_it
    assert f'small: {24 - 2 * bigs} questions: about' in said_of_it
    assert 'is to be asked 24 questions: about' in said_of_it
    found = result(tmp_path / 'o')
    assert found['judge'] == (
      'big at temperature 1, one + small at temperature 0.5, two'
    )
    assert found['agreement']['all']['accuracy']['value'] == 1.0
    # At another temperature the one is asked again, and the other is not.
    one.write_text(one.read_text().replace('1.0', '0.25'))
    status, _, err = run('--judge', server.url, *arguments, *own)
    assert status == 0, err
    again = server.bodies[24:]
    assert {(x['model'], x['temperature']) for x in again} == {('big', 0.25)}
    assert len(again) == 2 * bigs
    assert result(tmp_path / 'o')['identity'] != found['identity']
    # An option that none of them reads.
    two.write_text(f'model: other\ntemperature: 0\n{two.read_text()}')
    status, _, err = run('--judge', server.url, *arguments, *own[:2])
    assert (status, 'error: --model is read by no te' in err) == (1, True)
    status, _, err = run('--judge', server.url, *arguments, *own[2:])
    assert (status, '--judge-temperature is read by no' in err) == (1, True)


def test_a_refused_question_of_a_small_member_ends_nothing(pairs, tmp_path):
  many(pairs, 12)
  for name in ('one', 'two'):
    (tmp_path / f'{name}.txt').write_text(
      MEMBER.replace('(?:{number}: )?', '') % (f'model: {name}', PAIR)
    )
  asked = 'one', 'one', 'one', 'one', 'one', 'one', 'two'
  arguments = (
    '--pairs', pairs, '--out', 'o', '--template',
    ','.join(f'{name}.txt' for name in asked),
  )  # fmt: skip

  def filters(number, body):
    if body['model'] == 'two':
      return 400, {}, b'content filter'
    return prefers_good(number, body)

  with Server(filters) as server:
    status, out, err = run('--judge', server.url, *arguments)
    assert status == 0, err
    refused = [x for x in server.bodies if x['model'] == 'two']
    assert 0 < len(refused) < 5
    assert f'{len(refused)} questions were refused' in out
    before = len(server.bodies)
    status, _, err = run('--judge', server.url, *arguments)
    assert status == 0, err
    assert len(server.bodies) == before
  found = result(tmp_path / 'o')['agreement']['all']
  assert found['accuracy']['value'] == 1.0
  assert found['unread'] == len(refused) / 2


@pytest.mark.parametrize('flips', [0.0, 0.25])
def test_a_member_may_ask_several_pairs_together(flips, pairs, tmp_path):
  many(pairs, 40)
  write_four_and_one(tmp_path)
  arguments = (
    '--model', 'm', '--pairs', pairs, '--out', 'o', '--template',
    'four.txt,one.txt', '--concurrency', 1,
  )  # fmt: skip
  with Server(prefers_good_each) as server:
    status, _, err = run('--judge', server.url, *arguments, '--flips', flips)
  assert status == 0, err
  asked = [body['messages'][0]['content'] for body in server.bodies]
  together = [text.splitlines() for text in asked if text.startswith('1: ')]
  # Of each order's pairs four at a time, and what is left over.
  sizes = [len(lines) for lines in together]
  half = len(sizes) // 2
  for own in (sizes[:half], sizes[half:]):
    assert set(own[:-1]) == {4}
    assert 1 <= own[-1] <= 4
  pairs_asked = sum(sizes) + len(asked) - len(together)
  if not flips:
    assert pairs_asked == 2 * 40
  else:  # A coin decides about half of them: 40 in 2 orders ± 4 errors.
    assert 2 * 7 < pairs_asked < 2 * 33
  assert f'is to be asked {len(asked)} questions: about' in err
  right = result(tmp_path / 'o')['agreement']['all']['accuracy']['value']
  assert right == 1.0 if not flips else 0.5 < right < 1.0


def test_progress_of_a_pool_says_whose_turn_it_is(pairs, tmp_path, monkeypatch):
  many(pairs, 40)
  for name in ('one', 'two'):
    (tmp_path / f'{name}.txt').write_text(
      MEMBER.replace('(?:{number}: )?', '') % (f'model: {name}', PAIR)
    )
  monkeypatch.setattr(progress, 'AFTER', 0.0)
  with Server(prefers_good) as server:
    status, _, err = run(
      '--judge', server.url, '--pairs', pairs, '--out', 'o', '--template',
      'one.txt,two.txt', '--concurrency', 1,
    )  # fmt: skip
  assert status == 0, err
  first, second = (
    err.index(f'judging by {name}') for name in ('one, 1 of 2', 'two, 2 of 2')
  )
  assert first < second


def test_after_other_flips_the_cost_is_of_pairs_without_verdict(
  pairs, tmp_path
):
  many(pairs, 40)
  write_four_and_one(tmp_path)

  def all_but_nine(number, body):
    lines = body['messages'][0]['content'].splitlines()
    odd = any(' p9: ' in line for line in lines)
    return 200, {}, said('?' if odd else '\n'.join(
      f'{i}: A' for i, _ in enumerate(lines, 1)
    ))  # fmt: skip

  with Server(all_but_nine) as server:
    for flips in (0.25, 0.0, 0.375):
      before = len(server.bodies)
      status, out, err = run(
        '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
        '--template', 'four.txt', '--concurrency', 1, '--flips', flips,
      )  # fmt: skip
      assert status == 0, err
      new = len(server.bodies) - before
      told = f'is to be asked {new} questions: about' in err
      assert told if new else 'is to be asked' not in err
      if not flips:
        # In each order one reply holds none, whenever it was asked for.
        assert '2 replies hold no verdict' in out
      assert (new == 0) == (flips == 0.375)


def test_a_folder_asks_no_model_of_a_template(benchmark, folders, tmp_path):
  (tmp_path / 'own.txt').write_text(
    MEMBER.replace('(?:{number}: )?', '')
    % ('model: big\ntemperature: 0.5\noptions: A B', PAIR)
  )
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--judge', 'one', '--template', 'own.txt',
  )  # fmt: skip
  status, out, err = run(*arguments)
  assert (status, out) == (1, '')
  assert 'error: own is for the model big, and --judge one is a folder' in err
  path = tmp_path / 'own.txt'
  path.write_text(path.read_text().replace('model: big\n', ''))
  status, _, err = run(*arguments, '--per-minute', 5)
  assert status == 1
  assert '--per-minute is of an endpoint, and --judge one does not' in err
  status, _, err = run(*arguments)
  assert status == 0, err
  found = result(tmp_path / 'o')
  assert found['judge'] == 'one at temperature 0.5, own'
  assert found['identity'].split()[1] == '0.5'


def test_time_and_retries_are_limited(pairs):
  over = threading.Event()

  def slow(number, body):
    over.wait(20.0)
    return prefers_good(number, body)

  with Server(slow) as server:
    began = time.monotonic()
    status, _, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--timeout', 0.3, '--retries', 0, '--concurrency', 1,
    )  # fmt: skip
    over.set()
  assert status == 1
  assert 'no reply in 1 attempt, which ended' in err
  assert 'no whole reply in 0.3 s' in err
  assert time.monotonic() - began < 15.0
  assert len(server.bodies) == 1


@pytest.mark.parametrize(
  ('status', 'headers', 'said_of_it'),
  [
    (401, {}, 'wrong, or not allowed this; see --key-variable'),
    (308, {'Location': 'http://x/'}, 'none is followed; mend --judge'),
  ],
)
def test_a_refusal_names_the_option(status, headers, said_of_it, pairs):
  with Server(lambda number, body: (status, headers, b'')) as server:
    code, _, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o'
    )
  assert code == 1
  assert f'refuses with {status}' in err
  assert said_of_it in err
  assert 'Traceback' not in err


def test_nobody_at_the_url_is_one_sentence(pairs):
  with Server(prefers_good) as server:
    pass
  status, out, err = run(
    '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
    '--retries', 0,
  )  # fmt: skip
  assert (status, out) == (1, '')
  assert err.splitlines()[-1] == (
    f'error: m, pair_logprob_1: nothing answers at {server.url}/chat/'
    'completions in 1 attempt (no connection: Connection refused); start what '
    'should, or mend --judge'
  )


def test_a_judge_of_the_wrong_shape_is_told_of_credits(pairs, tmp_path):
  (tmp_path / 'one_number.py').write_text(
    'def judge(prompts, responses, others):\n  return 0.5\n'
  )
  status, _, err = run('--judge', 'one_number.judge', '--pairs', pairs)
  assert status == 1
  assert 'one_number.judge gave a single float for 3 pairs of resp' in err
  assert 'a judge gives one credit a pair' in err
  assert 'reward' not in err


def test_the_cost_counts_a_question_once(pairs):
  with Server(lambda *_: (200, {}, said('[[7]]'))) as server:
    status, _, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--template', 'single_score_1',
    )  # fmt: skip
  assert status == 0, err
  # Two responses to each of three prompts, whichever is shown first.
  assert 'is to be asked 6 questions: about' in err
  assert len(server.bodies) == 6


def test_templates_share_the_pace(pairs):
  begun = []

  def noting(number, body):
    begun.append(time.monotonic())
    return prefers_good(number, body)

  with Server(noting) as server:
    status, _, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--template', 'persona_long_1,persona_short_1', '--per-minute', 300,
    )  # fmt: skip
  assert status == 0, err
  gaps = [b - a for a, b in itertools.pairwise(begun)]
  # 300 a minute begin 0.2 s apart, whatever they are asked by.
  assert len(gaps) == 5
  assert min(gaps) > 0.1


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('--judge', 'longer'), 'give --pairs DATA to measure a judge, or'),
    (('--judge', 'nowhere', '--pairs', 'pairs.jsonl'), '--judge nowhere is'),
    (('--judge', 'run', '--pairs', 'pairs.jsonl'), 'launch.export_weights RUN'),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--least-gap', 'nan'),
      '--least-gap must be 0 or more',
    ),
    (('--judge', 'no.such', '--pairs', 'pairs.jsonl'), 'no.such'),
    (('--judge', 'os.getcwd', '--pairs', 'pairs.jsonl'), 'takes (prompts, '),
    (('--judge', 'longer', '--pairs', 'llmbar'), 'launch.prepare llmbar'),
    (
      ('--judge', 'longer', '--pairs', 'pair.jsonl'),
      "error: --pairs: there is no file pair.jsonl in .; did you mean 'pairs.",
    ),
    (
      ('--judge', 'longer', '--pairs', 'no/pairs.jsonl'),
      'error: --pairs: there is no folder no of no/pairs.jsonl',
    ),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--benchmark', 'llmbar'),
      'give one of the two, not both',
    ),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--count', '0'),
      '--count must be 1 or more',
    ),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--out', 'pairs.jsonl'),
      '--out must be a folder',
    ),
    (('--judge', 'http://h/v1', '--pairs', 'pairs.jsonl'), '--model says'),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--policy', 'a'),
      '--policy is of --benchmark, and --pairs does not read it; leave it out',
    ),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--length-copies', 'a'),
      '--length-copies is of --benchmark, and --pairs does not read it',
    ),
    (
      ('--judge', 'longer', '--pairs', 'pairs.jsonl', '--prices', '-5', '-5'),
      '--prices must be two amounts of 0 or more',
    ),
    *(
      (
        ('--judge', 'longer', '--pairs', 'pairs.jsonl', *given),
        f'{given[0]} is of {whose}, and --judge longer does not read it; leave',
      )
      for whose, given in (
        ('an endpoint', ('--model', 'm')),
        ('an endpoint', ('--key-variable', 'K')),
        ('an endpoint', ('--timeout', '3')),
        ('an endpoint', ('--retries', '3')),
        ('an endpoint', ('--concurrency', '3')),
        ('an endpoint', ('--per-minute', '3')),
        ('an endpoint', ('--prices', '1', '2')),
        ('a chat model', ('--template', 'pair_rules_1')),
        ('a chat model', ('--judge-temperature', '1')),
      )
    ),
    (
      ('--judge', f'{__name__}.wins', '--pairs', 'pairs.jsonl', '--model', 'm'),
      f'--model is of an endpoint, and --judge {__name__}.wins does not read',
    ),
    # It is no judge: what it would read cannot be said.
    (
      ('--judge', 'localhost:8000/v1', '--model', 'm', '--pairs',
       'pairs.jsonl'),
      '--judge localhost:8000/v1 is neither',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--key-variable', 'NO_KEY_HERE'),
      'NO_KEY_HERE is not set',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--template', 'mine.txt'),
      'there is no template mine.txt',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--key-variable', 'sk-not-a-name'),
      'error: --key-variable must be the name of an environment variable',
    ),
    (
      ('--judge', 'http://u@h/v1', '--model', 'm', '--pairs', 'pairs.jsonl'),
      'error: --judge must hold no user, password',
    ),
    (
      ('--judge', 'http://h/v1', '--pairs', 'pairs.jsonl', '--template',
       'pair_rules_1,pair_choice_1'),
      'is to answer with, since the template pair_rules_1 names none',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--timeout', 'nan'),
      'error: --timeout must be seconds, more than 0',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--retries', '-1'),
      'error: --retries must be a whole number of 0 or more, got -1',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--per-minute', '0'),
      'error: --per-minute must be requests a minute, more than 0',
    ),
    (
      ('--judge', 'http://h/v1', '--model', 'm', '--pairs', 'pairs.jsonl',
       '--judge-temperature', '-1'),
      'error: --judge-temperature must be a number of 0 or more',
    ),
  ],
)  # fmt: skip
def test_mistakes_are_a_sentence(arguments, message, pairs, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(pairs.parent / 'none'))
  (pairs.parent / 'run').mkdir()
  (pairs.parent / 'run' / 'config.json').write_text('{"stages": {}}')
  status, out, err = run(*arguments)
  assert (status, out) == (1, '')
  assert message in err
  assert 'Traceback' not in err


QUESTIONS = [
  {'question_id': i, 'category': kind, 'turns': [f'what is {i} ?']}
  for i, kind in enumerate(('math', 'math', 'writing', 'writing'))
]


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'question.jsonl'
  path.write_text(''.join(json.dumps(row) + '\n' for row in QUESTIONS))
  for name, texts in (
    ('a', ['good', 'good', 'bad', 'even']),
    ('b', ['bad', 'bad one', 'good', 'even']),
  ):
    rows = [
      {'instruction': row['turns'][0], 'output': text, 'generator': name}
      for row, text in zip(QUESTIONS, texts, strict=True)
    ]
    (tmp_path / f'{name}.json').write_text(json.dumps(rows))
  return ('--benchmark', 'vicuna80', '--questions', path)


def test_two_files_of_answers_by_an_endpoint(benchmark, tmp_path):
  with Server(prefers_good) as server:
    status, out, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', '--template', 'pair_choice_1',
    )  # fmt: skip
    assert status == 0, err
    # Of equal answers nobody is asked; of others in both orders.
    assert len(server.bodies) == 6
  assert 'a against b on vicuna80' in out
  assert 'Judged by m, pair_choice_1, in both orders, and averaged.' in out
  rates = result(tmp_path / 'o')['win_rates']
  assert rates['all']['win_rate']['value'] == pytest.approx(2.5 / 4)
  assert rates['math']['win_rate']['value'] == 1.0
  assert rates['writing']['win_rate']['value'] == 0.25
  assert 0 < rates['all']['at_equal_length']['value'] < 1
  # It says the same in both orders of three pairs, and the fourth is equal.
  assert rates['all']['same_in_both_orders']['value'] == 1.0
  assert rates['all']['for_the_first']['value'] == 0.5
  assert rates['all']['discrete']['value'] == 2.5 / 4
  assert rates['all']['characters']['policy']['value'] == (4 + 4 + 3 + 4) / 4
  assert 'same in both orders' in out
  found = result(tmp_path / 'o')
  assert found['answers']['policy'] == {'file': 'a.json'}
  assert (found['seed'], found['count']) == (0, None)
  assert 'the answers are those of files' in ' '.join(out.split())
  for name in ('report.md', 'report.html'):
    page = (tmp_path / 'o' / name).read_text()
    assert 'characters of b' in page
    assert 'for the first' in page
  written = json.loads((tmp_path / 'o' / 'annotations.json').read_text())
  assert [row['preference'] for row in written] == [2.0, 2.0, 1.0, 1.5]


def test_agreement_with_labels_stands_beside_a_judges_verdicts(
  benchmark, tmp_path
):
  texts = (
    ('Natural', 'long one', 'no'),
    ('Natural', 'x', 'longer'),
    ('Neighbor', 'x', 'longer'),
  )
  rows = [
    {'id': i, 'subset': kind, 'prompt': f'p {i}', 'chosen': good,
     'rejected': bad, 'chosen_model': 'x', 'rejected_model': 'y'}
    for i, (kind, good, bad) in enumerate(texts)
  ]  # fmt: skip
  (tmp_path / 'bar.json').write_text(json.dumps(rows))
  judge = ('--judge', 'longer')
  status, _, err = run(*judge, '--pairs', 'bar.json', '--out', 'held')
  assert status == 0, err
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
  )  # fmt: skip
  held = ('--judge-results', 'held/results.json')
  status, out, err = run(*judge, *arguments, *held)
  assert status == 0, err
  # Of three pairs the longer is the better one in one, of Natural's two too.
  assert ('The judge on bar.json: of 3 pairs right on 0.33 [') in ' '.join(
    out.split()
  )
  assert '; of 2 pairs (Natural) right on 0.50 [' in ' '.join(out.split())
  assert 'not measured on LLMBar' not in out
  assert 'of 2 pairs (Natural)' in (tmp_path / 'o' / 'report.md').read_text()
  found = result(tmp_path / 'o')['judge_agreement']
  assert (found['file'], found['pairs']) == ('held/results.json', 'bar.json')
  assert found['rows']['Natural']['accuracy']['value'] == 0.5
  assert found['rows']['Natural']['same']['value'] == 1.0
  assert found['rows']['all']['accuracy']['value'] == pytest.approx(1 / 3)
  # Without it the report says so, and how.
  status, out, err = run(*judge, *arguments)
  assert status == 0, err
  assert (
    'was not measured on LLMBar here; python -m launch.evaluate --judge longer '
    '--pairs llmbar does, and --judge-results OUT/results.json sets it'
  ) in ' '.join(out.split())
  assert result(tmp_path / 'o')['judge_agreement'] is None
  # Another judge, or what is no such file.
  status, out, err = run('--judge', f'{__name__}.wins', *arguments, *held)
  assert (status, out) == (1, '')
  assert '--judge-results held/results.json is of the longer, which' in err
  for text in ('{', '[1]', '{"pairs": "x"}', '{"agreement": {"all": 3}}'):
    (tmp_path / 'odd.json').write_text(text)
    odd = ('--judge-results', 'odd.json')
    status, out, err = run(*judge, *arguments, *odd)
    assert (status, out) == (1, '')
    assert 'error: --judge-results odd.json is not what a judge was m' in err
    assert 'Traceback' not in err


def test_agreement_on_one_prompt_has_no_standard_error(benchmark, tmp_path):
  rows = [{'prompt': 'p', 'chosen': 'long one', 'rejected': 'no'}]
  (tmp_path / 'one.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  status, _, err = run(
    '--judge', 'longer', '--pairs', 'one.jsonl', '--out', 'held'
  )
  assert status == 0, err
  measured = result(tmp_path / 'held')['agreement']['all']['accuracy']
  assert None in measured.values()  # NaN, which JSON has not.
  status, out, err = run(
    '--judge', 'longer', *benchmark, '--policy', 'a.json', '--against',
    'b.json', '--out', 'o', '--judge-results', 'held/results.json',
  )  # fmt: skip
  assert status == 0, err
  said_of_it = ' '.join(out.split())
  assert 'The judge on one.jsonl: of 1 pairs right on 1.00' in said_of_it
  assert 'LLMBar' not in said_of_it
  found = result(tmp_path / 'o')['judge_agreement']['rows']['all']
  assert found['accuracy'] == measured


def test_how_to_measure_a_judge_names_how_it_is_asked(benchmark):
  with Server(prefers_good) as server:
    status, out, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'my model', '--template',
      'pair_choice_1', '--flips', 0.25, '--prices', 0, 0, '--yes',
    )  # fmt: skip
  assert status == 0, err
  assert (
    f'launch.evaluate --judge {server.url} --template pair_choice_1 --flips '
    "0.25 --model 'my model' --pairs llmbar does"
  ) in ' '.join(out.split())


def test_a_judge_that_always_takes_the_first(benchmark, tmp_path):
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--count', '3',
    '--judge', f'{__name__}.first_of_all', '--out', 'o',
  )  # fmt: skip
  for order, same, rate in (
    ('both', 0.0, 0.5),
    ('strict', 0.0, 0.5),
    ('drawn', None, None),
  ):
    status, _, err = run(*arguments, '--order', order)
    assert status == 0, err
    found = result(tmp_path / 'o')['win_rates']['all']
    assert found['for_the_first']['value'] == 1.0
    assert (found['same_in_both_orders'] or {}).get('value') == same
    assert rate in (None, found['win_rate']['value'])
  assert result(tmp_path / 'o')['count'] == 3


def first_of_all(prompts, first, second):
  return [1.0] * len(prompts)


def wins(prompts, first, second):
  """Rated by a letter of the answers, whatever their length."""
  pairs = zip(first, second, strict=True)
  return [0.5 + 0.4 * (('w' in a) - ('w' in b)) for a, b in pairs]


def test_what_the_rate_at_equal_length_rests_on(benchmark, tmp_path):
  asked = [f'what is {i} ?' for i in range(40)]
  lines = (
    json.dumps({'question_id': 0, 'category': 'c', 'turns': [text]})
    for text in asked
  )
  benchmark[-1].write_text('\n'.join(lines))
  texts = {
    'a': ['w' * (i % 3 > 0) + 'x' * (5 + i % 7) for i in range(40)],
    'b': ['w' * (i % 4 > 1) + 'x' * (5 + i % 5) for i in range(40)],
  }
  for name, own in texts.items():
    answers = [
      {'instruction': x, 'output': y} for x, y in zip(asked, own, strict=True)
    ]
    (tmp_path / f'{name}.json').write_text(json.dumps(answers))
  for sign, name in ((-1, 'concise'), (1, 'verbose')):
    rows = [
      {
        'instruction': x,
        'output_1': y,
        'output_2': y * 2 if sign > 0 else y[: 1 + i % 2],
        'preference': 1.5 + sign * (0.2 + 0.2 * (i % 2)),
      }
      for i, (x, y) in enumerate(zip(asked, texts['b'], strict=True))
    ]
    (tmp_path / f'{name}.json').write_text(json.dumps(rows))
  hard = {text: i % 6 - 2.5 for i, text in enumerate(asked)}
  (tmp_path / 'hard.json').write_text(json.dumps(hard))
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json',
    '--judge', f'{__name__}.wins',
  )  # fmt: skip
  copies = ('--length-copies', 'concise.json', 'verbose.json')
  hard = ('--difficulties', 'hard.json')
  rates = set()
  for more, rests_on in (
    ((), 'by lengths alone'),
    (hard, 'with difficulties'),
    (copies, 'with copies'),
    (hard + copies, 'with difficulties and copies'),
  ):
    status, out, err = run(*arguments, *more, '--out', 'o')
    assert status == 0, err
    flat = ' '.join(out.split())
    assert f'At equal length: by a regression {rests_on}' in flat
    assert ('; the published' in flat) != (more == hard + copies)
    assert f'at equal length, {rests_on}' in flat
    found = result(tmp_path / 'o')
    assert found['at_equal_length'] == {
      'rests_on': rests_on, 'unknown_since': None,
    }  # fmt: skip
    assert (
      f'at equal length, {rests_on}'
      in (tmp_path / 'o' / 'report.html').read_text()
    )
    rates.add(found['win_rates']['all']['at_equal_length']['value'])
  assert len(rates) == 4
  assert found['length_copies'] == ['concise.json', 'verbose.json']
  status, _, err = run(*arguments, '--length-copies', 'no.json', '--out', 'o')
  assert status == 1
  assert 'no.json' in err
  # Where length tells all there is a reason in the number's place.
  status, out, err = run(*arguments[:-1], 'longer', '--out', 'longer')
  assert status == 0, err
  assert 'by lengths alone: unknown, since length' in ' '.join(out.split())
  found = result(tmp_path / 'longer')
  assert found['win_rates']['all']['at_equal_length'] is None
  assert 'length tells' in found['at_equal_length']['unknown_since']


@pytest.mark.parametrize(
  'judge',
  [
    ('--template', 'pair_choice_1'),
    ('--template', 'four.txt,one.txt'),
    ('--template', 'pair_choice_1', '--flips', 0.25),
  ],
)
def test_killed_half_way_it_asks_nothing_twice(judge, benchmark, tmp_path):
  over = threading.Event()
  write_four_and_one(tmp_path)
  asked = [f'what is {i} ?' for i in range(24)]
  lines = (
    json.dumps({'question_id': 0, 'category': 'c', 'turns': [text]})
    for text in asked
  )
  benchmark[-1].write_text('\n'.join(lines))
  for name, text in (('a', 'good'), ('b', 'bad')):
    answers = [{'instruction': x, 'output': f'{text} {x}'} for x in asked]
    (tmp_path / f'{name}.json').write_text(json.dumps(answers))

  def stuck_after_five(number, body):
    if number >= 5:
      over.wait(60)
    return prefers_good_each(number, body)

  with Server(stuck_after_five) as server:
    arguments = (
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', *judge, '--concurrency', '2',
    )  # fmt: skip
    running = subprocess.Popen(
      [sys.executable, '-m', 'launch.evaluate', *map(str, arguments)],
      env=os.environ | {'PYTHONPATH': str(ROOT)},
      stderr=subprocess.DEVNULL,
    )
    replies = tmp_path / 'o' / 'replies.jsonl'
    for _ in range(600):
      if replies.exists() and replies.read_bytes().count(b'\n') == 5:
        break
      time.sleep(0.1)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    answered = list(map(json.dumps, server.bodies[:5]))
    before = len(server.bodies)
    assert before <= 5 + 2  # Those that were asked at the time of the kill.
    server._script = prefers_good_each
    over.set()
    status, out, err = run(*arguments)
    assert status == 0, err
    again = list(map(json.dumps, server.bodies[before:]))
    assert f'is to be asked {len(again)} questions' in err
    assert len(again) == len(set(again)) > 0
    assert not set(answered) & set(again)
    rates = result(tmp_path / 'o')['win_rates']
    flipped = '--flips' in judge
    assert flipped == (rates['all']['win_rate']['value'] < 1.0)
    assert run(*arguments)[0] == 0
    assert len(server.bodies) == before + len(again)
    # One that nobody kills asks the same, and finds the same.
    assert run(*arguments, '--out', 'whole')[0] == 0
    whole = list(map(json.dumps, server.bodies[before + len(again) :]))
    assert sorted(whole) == sorted(answered + again)
    assert result(tmp_path / 'whole')['win_rates'] == rates


def test_stopped_it_keeps_what_is_under_way(pairs, tmp_path):
  over = threading.Event()

  def stuck_after_one(number, body):
    if number >= 1:
      over.wait(60)
    return prefers_good(number, body)

  with Server(stuck_after_one) as server:
    arguments = (
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--template', 'pair_choice_1', '--concurrency', '2',
    )  # fmt: skip
    running = subprocess.Popen(
      [sys.executable, '-m', 'launch.evaluate', *map(str, arguments)],
      env=os.environ | {'PYTHONPATH': str(ROOT)},
      stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
      if len(server.bodies) == 3:
        break
      time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    over.set()
    assert running.wait(60) == 128 + signal.SIGTERM
    assert len(server.bodies) == 3
    status, _, err = run(*arguments)
    assert status == 0, err
    assert '3 questions (6 with those answered before)' in err
    assert len(server.bodies) == 6


def test_people_stand_beside_the_judge(benchmark, tmp_path):
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--judge', 'longer', '--people',
  )  # fmt: skip
  texts = (('good', 'bad'), ('bad one', 'good'), ('bad', 'good'))
  rows = [
    {
      'prompt': [{'role': 'user', 'content': row['turns'][0]}],
      'response_1': first,
      'response_2': second,
      'choice': said,
      'annotator': 'ann',
      'pair': str(row['question_id']),
    }
    for row, (first, second), said in zip(
      QUESTIONS, texts, (1, 2, 'unsure'), strict=False
    )
  ]
  people = tmp_path / 'people.jsonl'
  people.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  status, out, err = run(*arguments, people)
  assert status == 0, err
  # People prefer a's first two, see its last as even, and leave the third.
  rates = result(tmp_path / 'o')['win_rates']['all']
  assert rates['by_people']['value'] == pytest.approx(2.5 / 3)
  assert (rates['by_people']['count'], rates['by_people']['missing']) == (3, 1)
  assert rates['win_rate']['value'] == pytest.approx(1.5 / 4)
  assert 'wins by people' in out
  # The longer says a, b and even of these three.
  assert 'prefer the same 0.67 [' in ' '.join(out.split())
  page = (tmp_path / 'o' / 'report.html').read_text()
  assert '<h1>a against b on vicuna80</h1>' in page
  assert 'wins by people' in page
  assert 'data-verdict="wins"' in page
  assert '| all ' in (tmp_path / 'o' / 'report.md').read_text()
  people.write_text(json.dumps(rows[0] | {'response_1': 'other'}) + '\n')
  status, _, err = run(*arguments, people)
  assert status == 1
  assert 'launch.annotate --compare o/model_outputs.json o/refer' in err


def test_what_evaluate_wrote_is_what_annotate_asks_about(benchmark, tmp_path):
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--judge', 'longer',
  )  # fmt: skip
  assert run(*arguments)[0] == 0
  found = pairs_module.of_answers(
    ['o/model_outputs.json', 'o/reference_outputs.json']
  )
  assert {pair.policies for pair in found.pairs} == {('a', 'b')}
  assert found.pairs[0].responses == ('good', 'bad')
  assert len(found.pairs) == 4


def test_a_judge_that_talks_nonsense_gives_no_win_rate(benchmark):
  with Server(lambda number, body: (200, {}, said('Lorem ipsum.'))) as server:
    status, out, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', '--template', 'pair_choice_1',
    )  # fmt: skip
    assert (status, out) == (1, '')
    assert '3 of 4 pairs have no verdict, and --most-missing lets 0.05' in err
    said_of_it = (
      "6 replies hold no verdict, as 'Lorem ipsum.' (all are in "
      'o/replies.jsonl)'
    )
    assert said_of_it in err
    assert 'most_missing' not in err
    pairs = benchmark[-1].parent / 'pairs.jsonl'
    pairs.write_text(''.join(json.dumps(row) + '\n' for row in PAIRS))
    status, out, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'p'
    )
    assert (status, out) == (1, '')
    assert 'gave no verdict in both orders on any of 3 pairs; 6 repl' in err
    assert "as 'Lorem ipsum.' (all are in p/replies.jsonl)" in err


def test_a_judge_without_any_verdict_says_so(benchmark):
  for name, text in (('a', 'good'), ('b', 'bad')):
    path = benchmark[-1].with_name(f'{name}.json')
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([row | {'output': text} for row in rows]))
  with Server(lambda *_: (200, {}, said('x' * 100))) as server:
    status, out, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', '--most-missing', 1,
    )  # fmt: skip
  assert (status, out) == (1, '')
  assert 'gave no verdict on any of 4 pairs; 8 replies hold no verdict' in err
  assert f"as '{'x' * 80}…'" in err


def filtering(number, body):
  """Refuses whatever has to do with question 0."""
  if 'what is 0 ?' in body['messages'][-1]['content']:
    error = {'error': {'code': 'content_filter', 'message': 'no'}}
    return 400, {}, json.dumps(error).encode()
  return prefers_good(number, body)


def test_what_a_judge_says_is_no_part_of_the_page(benchmark, tmp_path):
  def script(number, body):
    odd = 'what is 0 ?' in body['messages'][-1]['content']
    return 200, {}, said('<b>[x](http://y)</b>' if odd else 'A')

  with Server(script) as server:
    status, _, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', '--most-missing', 1,
    )  # fmt: skip
  assert status == 0, err
  page = (tmp_path / 'o' / 'report.html').read_text()
  assert '2 replies hold no verdict, as' in page
  assert '&lt;b&gt;[x] (http://y)' in page
  assert 'href="http://y"' not in page


@pytest.mark.parametrize('concurrency', [1, 8])
def test_one_refused_question_has_no_verdict(concurrency, benchmark, tmp_path):
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--model', 'm', '--template', 'pair_choice_1', '--concurrency', concurrency,
  )  # fmt: skip
  said_of_it = (
    '2 questions were refused, and without a verdict (the first to '
    'question.jsonl:1): 400 Bad Request: '
  )
  with Server(filtering) as server:
    status, out, err = run('--judge', server.url, *arguments)
    assert (status, out) == (1, '')
    assert '1 of 4 pairs have no verdict, and --most-missing lets 0.05' in err
    assert said_of_it in err
    assert 'content_filter' in err
    assert len(server.bodies) == 6
    # Nothing is asked again.
    again = '--most-missing', 0.3
    status, out, err = run('--judge', server.url, *arguments, *again)
    assert status == 0, err
    assert said_of_it in ' '.join(out.split())
    assert len(server.bodies) == 6
  found = result(tmp_path / 'o')
  # The others: won, lost, and equal.
  assert found['win_rates']['all']['win_rate']['value'] == pytest.approx(0.5)
  assert found['win_rates']['all']['win_rate']['missing'] == 1
  ((why, count),) = found['no_verdict']['refused'].items()
  assert (why[:15], count) == ('400 Bad Request', 2)
  assert found['no_verdict']['silent'] == 0


def test_one_refused_question_of_labelled_pairs(pairs, tmp_path):
  def filters(number, body):
    if 'p two' in body['messages'][-1]['content']:
      return 422, {}, b'too long'
    return prefers_good(number, body)

  arguments = (
    '--model', 'm', '--pairs', pairs, '--out', 'o', '--template',
    'pair_choice_1,pair_rules_1',
  )  # fmt: skip
  with Server(filters) as server:
    status, out, err = run('--judge', server.url, *arguments)
  assert status == 0, err
  assert '2 questions were refused' in out
  assert 'pairs.jsonl:2): 422 ' in ' '.join(out.split())
  assert ': too long' in out
  found = result(tmp_path / 'o')
  assert found['agreement']['all']['unread'] == 1
  assert found['agreement']['all']['accuracy']['value'] == 1.0


@pytest.mark.parametrize(
  ('template', 'questions'),
  [
    ('pair_criteria_1', 3 + 6),  # Criteria of a prompt; each order's verdict.
    ('batch_choice_1', 2),  # Three pairs, of which a reply says one.
  ],
)
def test_of_several_questions_those_for_verdicts_count(
  template, questions, pairs, tmp_path
):
  def silent_on_two(number, body):
    text = body['messages'][-1]['content']
    if template == 'batch_choice_1':
      return 200, {}, said('1: A')
    return 200, {}, said('Hard to say.' if 'p two' in text else 'A')

  with Server(silent_on_two) as server:
    status, out, err = run(
      '--judge', server.url, '--model', 'm', '--pairs', pairs, '--out', 'o',
      '--template', template,
    )  # fmt: skip
    assert len(server.bodies) == questions
  assert status == 0, err
  # In both orders of the one pair, or in either batch.
  assert '2 replies hold no verdict' in out
  unread = 1 if template == 'pair_criteria_1' else 2
  assert result(tmp_path / 'o')['agreement']['all']['unread'] == unread


def test_pairs_together_are_told_as_they_are_asked(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  rows = [
    {'prompt': f'p {i}', 'chosen': f'good {i}', 'rejected': f'bad {i}'}
    for i in range(9)
  ]
  rows.insert(3, rows[0])  # There twice, asked about once.
  pathlib.Path('pairs.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  arguments = (
    '--model', 'm', '--pairs', 'pairs.jsonl', '--out', 'o', '--concurrency', 1,
    '--template', 'batch_choice_1',
  )  # fmt: skip

  def silent_on_six(number, body):
    many = body['messages'][-1]['content'].count('\np ')
    odd = 'p 6\n' in body['messages'][-1]['content']
    lines = [f'{i + 1}: A' for i in range(many)]
    return 200, {}, said('Hard to say.' if odd else '\n'.join(lines))

  with Server(silent_on_six) as server:
    # Of six rows five differ: 4 and 1 pairs in an order.
    status, _, err = run('--judge', server.url, *arguments, '--count', 6)
    assert status == 0, err
    assert 'is to be asked 4 questions: about' in err
    assert len(server.bodies) == 4
    # Now 4 more: together, and after those that were asked about before.
    status, out, err = run('--judge', server.url, *arguments)
    assert status == 0, err
    assert len(server.bodies) == 6
    assert '2 replies hold no verdict' in out
    # Nine anew are 4, 4 and 1, in two orders.
    status, out, err = run('--judge', server.url, *arguments, '--out', 'new')
    assert status == 0, err
    assert 'is to be asked 6 questions: about' in err
    assert len(server.bodies) == 6 + 6
    assert '2 replies hold no verdict' in out
    status, out, err = run('--judge', server.url, *arguments, '--out', 'new')
    assert 'is to be asked' not in err
    assert len(server.bodies) == 6 + 6
  assert result(tmp_path / 'new')['no_verdict']['silent'] == 2


def test_criteria_that_are_refused_count_once(pairs, tmp_path):
  def filters(number, body):
    text = body['messages'][-1]['content']
    if 'good' in text:
      return prefers_good(number, body)
    if 'p two' in text:
      return 422, {}, b'too long'
    return 200, {}, said('Brevity.')

  arguments = (
    '--model', 'm', '--pairs', pairs, '--out', 'o', '--template',
    'pair_criteria_1',
  )  # fmt: skip
  with Server(filters) as server:
    for _ in range(2):
      status, out, err = run('--judge', server.url, *arguments)
      assert status == 0, err
      # Three for criteria; verdicts, in both orders, on two pairs.
      assert len(server.bodies) == 3 + 4
  assert '1 question was refused' in out
  assert 'pairs.jsonl:2): 422 ' in ' '.join(out.split())
  assert 'is to be asked' not in err
  found = result(tmp_path / 'o')
  assert list(found['no_verdict']['refused'].values()) == [1]
  assert found['agreement']['all']['unread'] == 1


def test_a_wrong_model_ends_it_at_once(benchmark):
  with Server(lambda *_: (400, {}, b'no such model')) as server:
    status, out, err = run(
      *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
      '--judge', server.url, '--model', 'm', '--template', 'pair_choice_1',
    )  # fmt: skip
  assert (status, out) == (1, '')
  assert 'refuses with 400 Bad Request: no such model; so it did' in err
  assert 'BadRequest' not in err


@pytest.mark.parametrize('template', ['pair_choice_1', 'pair_logprob_1'])
def test_a_pair_too_long_for_a_local_judge(
  template, benchmark, folders, tmp_path
):
  path = tmp_path / 'one' / 'config.json'
  # 265 tokens: nearly one for each letter.
  config = json.loads(path.read_text()) | {'max_position_embeddings': 6000}
  path.write_text(json.dumps(config))
  rows = json.loads((tmp_path / 'a.json').read_text())
  rows[1]['output'] = 'long ' * 3000
  (tmp_path / 'a.json').write_text(json.dumps(rows))
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--judge', 'one', '--template', template, '--most-missing', 1,
  )  # fmt: skip
  for _ in range(2):  # Judged, and remembered.
    status, out, err = run(*arguments)
    told = ' '.join((out + err).split())
    if template == 'pair_logprob_1':  # Otherwise it may say neither A nor B.
      assert status == 0, err
      rate = result(tmp_path / 'o')['win_rates']['all']['win_rate']
      assert (rate['count'], rate['missing']) == (3, 1)
    assert '2 questions were refused, and without a verdict (the fir' in told
    most = 6000 - verdicts.load(template).max_tokens
    assert f'question.jsonl:2): longer than the {most} tokens' in told
    assert 'overlong' not in told
    assert 'max_prompt_tokens' not in told
  room = verdicts.load(template).max_tokens
  path.write_text(json.dumps(config | {'max_position_embeddings': room}))
  status, out, err = run(*arguments)
  assert (status, out) == (1, '')
  assert f'--judge one reads {room} tokens, and a reply' in err


@pytest.fixture
def folders(tmp_path):
  """Two policies, in the folders one and two."""
  tokenizer = tokens.train_bpe(['what is it ?'], vocab_size=265)
  config = dataclasses.replace(small.MODEL, vocab_size=tokenizer.vocab_size)
  for seed, name in enumerate(('one', 'two')):
    params = language_model(config).init(jax.random.key(seed))
    huggingface.write(tmp_path / name, config, params)
    tokenizer.save(tmp_path / name)


def test_what_would_fail_later_fails_before_answers(
  benchmark, folders, tmp_path, monkeypatch
):
  monkeypatch.delenv('A_KEY_OF_TESTS', raising=False)
  arguments = (
    *benchmark, '--policy', 'one', '--against', 'two', '--out', 'o',
    '--max-tokens', 4, '--max-prompt-tokens', 64, '--model', 'm',
  )  # fmt: skip
  with Server(lambda *_: (200, {}, said('A'))) as server:
    for more, message in (
      (('--against', 'tow'), "did you mean 'two'"),
      (('--key-variable', 'A_KEY_OF_TESTS'), 'A_KEY_OF_TESTS is not set'),
      (('--prices', 1, 2), 'nobody is here to say whether what it costs'),
    ):
      status, out, err = run('--judge', server.url, *arguments, *more)
      assert (status, out) == (1, '')
      assert message in err
      assert not (tmp_path / 'o').exists()
    assert server.bodies == []
    status, _, err = run('--judge', server.url, *arguments)
    assert status == 0, err
    assert len(list((tmp_path / 'o').glob('answers-*.jsonl'))) == 2


def test_a_limit_without_room_names_its_option(benchmark, folders):
  status, _, err = run(
    *benchmark, '--policy', 'one', '--against', 'two', '--out', 'o',
    '--judge', 'longer', '--max-prompt-tokens', 4,
  )  # fmt: skip
  assert status == 1
  assert 'leaves no room' in err
  assert err.rstrip().endswith('; raise --max-prompt-tokens.')


def test_nobody_need_agree_to_what_is_kept(benchmark):
  arguments = (
    *benchmark, '--policy', 'a.json', '--against', 'b.json', '--out', 'o',
    '--model', 'm', '--template', 'pair_choice_1', '--prices', 1, 2,
  )  # fmt: skip
  with Server(prefers_good) as server:
    assert run('--judge', server.url, *arguments, '--yes')[0] == 0
    status, _, err = run('--judge', f'{server.url}/', *arguments)
    assert status == 0, err
    assert 'is to be asked' not in err
    assert len(server.bodies) == 6


def test_policies_in_folders_answer_once(benchmark, folders, tmp_path):
  arguments = (
    *benchmark, '--policy', 'one', '--against', 'two', '--out', 'o',
    '--judge', 'longer', '--max-tokens', 4, '--max-prompt-tokens', 64,
    '--at-a-time', 2,
  )  # fmt: skip
  status, out, err = run(*arguments)
  assert status == 0, err
  assert 'one against two on vicuna80' in out
  assert 'at temperature 0.7, at most 4 tokens, seed 0' in ' '.join(out.split())
  assert result(tmp_path / 'o')['answers']['against'] == {
    'sampled_from': 'two', 'temperature': 0.7, 'max_tokens': 4,
    'max_prompt_tokens': 64, 'seed': 0,
  }  # fmt: skip
  files = sorted((tmp_path / 'o').glob('answers-*.jsonl'))
  before = [path.read_bytes() for path in files]
  assert len(before) == 2
  # What a kill cut off is answered again, and alike.
  files[0].write_bytes(before[0][:-30])
  status, again, err = run(*arguments)
  assert (status, again) == (0, out), err
  rows = [json.loads(x) for x in before[0].splitlines()]
  found = {}
  for line in files[0].read_bytes().splitlines():
    with contextlib.suppress(ValueError):
      row = json.loads(line)
      found[row['place']] = row
  assert found == {row['place']: row for row in rows}
  assert files[1].read_bytes() == before[1]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('--benchmark', 'vicuna'), 'did you mean'),
    (('--benchmark', 'vicuna80'), 'give --policy and --against'),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json'),
      'launch.prepare vicuna --from DIR',
    ),
    (
      ('--benchmark', 'vicuna80', '--questions', 'question.jsonl', '--policy',
       'a.json', '--against', 'nowhere'),
      'nowhere is neither a file of answers, nor a folder of transformers',
    ),
    (
      ('--benchmark', 'vicuna80', '--questions', 'question.jsonl', '--policy',
       'a.jsn', '--against', 'b.json'),
      "as in RUN/stages/dpo; did you mean 'a.json'",
    ),
    *(
      (
        ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
         option, *there, 'no.json'),
        f'error: {option}: there is no file no.json in .',
      )
      for option, *there in (
        ('--questions',),
        ('--difficulties',),
        ('--people',),
        ('--length-copies', 'a.json'),
        ('--judge-results',),
      )
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--per-prompt', '2'),
      '--per-prompt is of --pairs, and --benchmark does not read it',
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--prices', 'nan', '-5'),
      '--prices must be two amounts of 0 or more, got nan and -5',
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--max-tokens', '0'),
      '--max-tokens must be 1 or more',
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--temperature', '0.1'),
      '--temperature is of policies that are sampled, and a comparison of two '
      'files of answers does not read it; leave it out',
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--seed', '3'),
      '--seed is of policies that are sampled',
    ),
    (
      ('--benchmark', 'vicuna80', '--policy', 'a.json', '--against', 'b.json',
       '--temperature', '-1'),
      '--temperature must be from 0',
    ),
  ],
)  # fmt: skip
def test_mistakes_of_a_benchmark(arguments, message, benchmark, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', 'none')
  monkeypatch.delenv('A_KEY_OF_TESTS', raising=False)
  status, out, err = run('--judge', 'longer', *arguments)
  assert (status, out) == (1, '')
  assert message in err
