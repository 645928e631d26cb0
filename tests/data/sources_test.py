"""A source on small files: what it holds, keeps and is called."""

import dataclasses
import errno
import functools
import json
import pathlib
import tempfile
from unittest import mock

import numpy as np
from absl.testing import parameterized

from rlhf_jax.data import (
  chat_templates,
  files,
  formats,
  jsonl,
  readers,
  sources,
  splits,
  templates,
  tokens,
)
from rlhf_jax.feedback import verifying
from rlhf_jax.storage import seals
from rlhf_jax.storage.files import StorageError, partial_of
from rlhf_jax.types import Message, Prompt

PAIRS = sources.Files(('pairs.jsonl',), readers.pairs)
CHOSEN = sources.Files(('pairs.jsonl',), readers.chosen)
TASKS = sources.Files(('tasks.jsonl', 'more.jsonl'), readers.instructions)


def pair(i):
  turns = [{'role': 'user', 'content': f'question {i}'}]
  return {'subset': 'helpful', 'prompt': turns} | {
    'chosen': f'good {i}',
    'rejected': f'bad {i}',
  }


def task(i):
  return {'instruction': f'question {i}', 'output': f'answer {i}'}


def shout(path):
  return [c._replace(margin=1.0) for c in readers.pairs(path)]


class PairsAndTasksTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.data, self.run = root / 'data', root / 'run'
    self.data.mkdir()
    self.write('pairs.jsonl', [pair(i % 30) for i in range(60)])
    self.write('tasks.jsonl', map(task, range(20, 40)))
    self.write('more.jsonl', map(task, range(40, 50)))
    self.source = sources.Feedback(
      str(self.data), PAIRS, TASKS, held_out=0.3, vocab_size=300
    )

  def write(self, name, lines):
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (self.data / name).write_text(text)

  def test_datasets_are_the_files_split_by_opening(self):
    datasets = self.source.load(self.run).datasets
    sizes = {name: len(records) for name, records in datasets.items()}
    self.assertEqual(sizes['comparisons'] + sizes['test_comparisons'], 60)
    self.assertEqual(sizes['demonstrations'] + sizes['test_demonstrations'], 30)
    # Every question is asked twice.
    self.assertEqual(sizes['prompts'] * 2, sizes['comparisons'])
    self.assertEqual(sizes['test_prompts'] * 2, sizes['test_comparisons'])
    self.assertGreater(min(sizes.values()), 3)

    def openings(*names):
      return {
        splits.prompt_of(record).messages[0].content
        for name in names
        for record in datasets[name]
      }

    train = openings('comparisons', 'demonstrations', 'prompts')
    test = openings('test_comparisons', 'test_demonstrations', 'test_prompts')
    self.assertLen(train | test, 50)
    self.assertEmpty(train & test)

  def test_each_of_several_is_a_dataset_too(self):
    more = sources.Files(('more.jsonl',), readers.instructions)
    tasks = sources.Files(('tasks.jsonl',), readers.instructions)
    source = sources.Feedback(
      str(self.data), demonstrations=(tasks, more), held_out=0.3, vocab_size=300
    )
    datasets = source.load(self.run).datasets
    for side in ('', 'test_'):
      whole = list(datasets[f'{side}demonstrations'])
      first, second = (datasets[f'{side}demonstrations_{k}'] for k in (1, 2))
      for part in (first, second):
        self.assertEqual([r for r in whole if r in part], list(part))
      self.assertLen(whole, len(first) + len(second))
      self.assertEqual({r.prompt.where[:4] for r in first}, {'task'})
      self.assertEqual({r.prompt.where[:4] for r in second}, {'more'})
      asked = [*datasets[f'{side}prompts_1'], *datasets[f'{side}prompts_2']]
      self.assertCountEqual(datasets[f'{side}prompts'], asked)
      self.assertCountEqual(asked, [record.prompt for record in whole])
    # However few are measured on, they are of both.
    seen = np.cumsum([record in first for record in whole])
    due = np.arange(1, len(whole) + 1) * len(first) / len(whole)
    self.assertLessEqual(np.abs(seen - due).max(), 1.0)
    alone = dataclasses.replace(source, demonstrations=(tasks,))
    self.assertNotIn('demonstrations_1', alone.load(self.run).datasets)
    self.assertNotEqual(alone.fingerprint(), source.fingerprint())

  def test_too_few_of_one_of_several_are_told_of_it(self):
    self.write('one.jsonl', [task(1)])
    one = sources.Files(('one.jsonl',), readers.instructions)
    source = sources.Feedback(str(self.data), demonstrations=(TASKS, one))
    with self.assertRaisesRegex(
      jsonl.DataError, '^of 1 demonstrations of one.jsonl . are left'
    ):
      source.load(self.run)

  def test_records_say_where_they_come_from(self):
    datasets = self.source.load(self.run).datasets
    records = datasets['demonstrations'] + datasets['test_demonstrations']
    found = {r.prompt.text: r.prompt.where for r in records}
    self.assertEqual(found['question 41'], 'more.jsonl:2')

  def test_demonstrations_can_be_the_chosen_answers(self):
    source = dataclasses.replace(self.source, demonstrations=CHOSEN)
    datasets = source.load(self.run).datasets
    self.assertEqual(
      [d.response for d in datasets['demonstrations']],
      [c.responses[0] for c in datasets['comparisons']],
    )

  def test_the_tokenizer_learns_from_training_texts_alone(self):
    # The held-out side shouts a word that would else be merged whole.
    datasets = self.source.load(self.run).datasets
    held_out = {r.prompt.text for r in datasets['test_demonstrations']}
    lines = [task(i) for i in range(20, 40)]
    for line in lines:
      loud = line['instruction'] in held_out
      line['output'] = 'zyx ' * 99 if loud else 'wvu ' * 99
    self.write('tasks.jsonl', lines)
    tokenizer = self.source.load(self.run).tokenizer
    self.assertLen(tokenizer.encode('wvu'), 1)
    self.assertLen(tokenizer.encode('zyx'), 3)

  def test_the_tokenizer_is_kept_and_found_again(self):
    trained = self.source.load(self.run).tokenizer
    (folder,) = self.run.iterdir()  # And nothing unfinished beside it.
    self.assertEqual(folder.name, f'tokenizer-{self.source.fingerprint()}')
    with mock.patch.object(tokens, 'train_bpe', side_effect=AssertionError):
      found = self.source.load(self.run).tokenizer
    self.assertEqual(found.backend.to_str(), trained.backend.to_str())

  @parameterized.parameters(
    ('tokenizer.json', lambda text: text.replace('"h":', '"\u0110":')),
    ('tokenizer.json', lambda text: text[: len(text) // 2]),
    ('tokenizer_config.json', lambda text: ''),
    (seals.SEAL, lambda text: 'null'),
  )
  def test_a_kept_tokenizer_that_is_damaged_is_refused(self, name, damage):
    self.source.load(self.run)
    (folder,) = self.run.iterdir()
    text = (folder / name).read_text()
    self.assertNotEqual(damage(text), text)
    (folder / name).write_text(damage(text))
    with self.assertRaisesRegex(
      seals.DamagedError,
      f'^{folder}/.*; delete {folder}, and the same command makes it again$',
    ):
      self.source.load(self.run)

  @parameterized.parameters(errno.ENOSPC, errno.EDQUOT, errno.EROFS)
  def test_a_tokenizer_that_cannot_be_kept_is_told(self, number):
    refused = OSError(number, 'refused')
    with (
      mock.patch.object(pathlib.Path, 'rename', side_effect=refused),
      self.assertRaisesRegex(StorageError, f'^{self.run}/tokenizer-'),
    ):
      self.source.load(self.run)

  def test_what_a_kill_left_of_a_tokenizer_is_swept(self):
    self.source.load(self.run)
    (folder,) = self.run.iterdir()
    folder.rename(partial_of(folder))
    self.source.load(self.run)
    (folder,) = self.run.iterdir()
    self.assertStartsWith(folder.name, 'tokenizer-')

  def test_other_data_train_another(self):
    self.source.load(self.run)
    self.write('more.jsonl', map(task, range(41, 50)))
    self.source.load(self.run)
    self.assertLen(list(self.run.iterdir()), 2)

  def test_a_trained_tokenizer_chats(self):
    corpus = self.source.load(self.run)
    prompt = corpus.datasets['prompts'][0]
    self.assertEqual(
      corpus.template.parts(prompt, corpus.tokenizer).ids,
      templates.CHAT.parts(prompt, corpus.tokenizer).ids,
    )

  def test_a_tokenizer_can_be_given(self):
    given = tokens.train_bpe(['else'] * 9, vocab_size=263)
    given.save(self.data / 'given')
    source = dataclasses.replace(
      self.source, tokenizer=str(self.data / 'given')
    )
    corpus = source.load(self.run)
    self.assertEqual(corpus.tokenizer.vocab_size, 263)
    self.assertEqual(corpus.template, chat_templates.SPEAKERS)
    self.assertFalse(self.run.exists())

  def test_a_given_template_is_told_the_date_that_the_address_covers(self):
    jinja = (
      "{{ strftime_now('%Y') }}{% for m in messages %}"
      '{{ m.content + eos_token }}{% endfor %}'
    )
    given = tokens.train_bpe(['else'] * 9, vocab_size=263, chat_template=jinja)
    given.save(self.data / 'given')
    source = dataclasses.replace(
      self.source, tokenizer=str(self.data / 'given')
    )
    later = dataclasses.replace(source, template_date='2031-02-03')
    self.assertNotEqual(source.fingerprint(), later.fingerprint())
    prompt = Prompt((Message('user', 'a'),))
    for one, year in ((source, '2024'), (later, '2031')):
      template = one.load(self.run).template
      self.assertEqual(template.render(prompt), f'{year}a<|eos|>')

  def test_a_reader_of_ones_own_that_fails_is_named_with_the_file(self):
    own = sources.Files(('pairs.jsonl',), json.dumps)
    with self.assertRaisesRegex(
      jsonl.DataError,
      r'the reader json.dumps failed on pairs.jsonl \(TypeError: .*\); a read',
    ) as caught:
      own.records(self.data)
    self.assertIsInstance(caught.exception.__cause__, TypeError)

  def test_the_fingerprint_is_of_content_and_settings(self):
    first = self.source.fingerprint()
    self.assertEqual(first, dataclasses.replace(self.source).fingerprint())

    moved = self.data.with_name('elsewhere')
    self.data.rename(moved)
    source = dataclasses.replace(self.source, data_dir=str(moved))
    self.assertEqual(first, source.fingerprint())

    others = [
      dataclasses.replace(source, held_out=0.2),
      dataclasses.replace(source, vocab_size=301),
      dataclasses.replace(source, demonstrations=CHOSEN),
      dataclasses.replace(
        source,
        demonstrations=sources.Files(('tasks.jsonl',), readers.instructions),
      ),
    ]
    tokenizer = tokens.train_bpe(['a'], vocab_size=261)
    for template in ('', '{{ x }}'):
      folder = moved / f'tokenizer{len(template)}'
      dataclasses.replace(tokenizer, chat_template=template).save(folder)
      others.append(dataclasses.replace(source, tokenizer=str(folder)))
    others.append(
      dataclasses.replace(source, comparisons=sources.Files(PAIRS.names, shout))
    )
    found = [other.fingerprint() for other in others]
    (moved / 'more.jsonl').write_text(json.dumps(task(1)))
    found.append(source.fingerprint())
    self.assertLen({first, *found}, 9)

  def test_says_which_file_is_missing(self):
    (self.data / 'more.jsonl').unlink()
    for ask in (self.source.fingerprint, lambda: self.source.load(self.run)):
      with self.assertRaisesRegex(
        jsonl.DataError, 'no file more.jsonl in .*pairs.jsonl, tasks.jsonl'
      ):
        ask()

  @parameterized.parameters(0.0, 1.0, -0.1)
  def test_refuses_a_share_that_leaves_nothing(self, held_out):
    with self.assertRaisesRegex(ValueError, f'held_out is {held_out}'):
      dataclasses.replace(self.source, held_out=held_out)

  @parameterized.parameters('', 'today', '2024-7-26', '20240726', '2024-02-30')
  def test_refuses_what_is_no_day_when_it_is_set(self, date):
    with self.assertRaisesRegex(
      ValueError, f"template_date is '{date}'; it must be a day, as in 20"
    ):
      dataclasses.replace(self.source, template_date=date)


class FeedbackTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def write(self, name, lines):
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (self.root / name).write_text(text)
    return files.own_files(name, '', read=formats.read)

  def load(self, **options):
    source = sources.Feedback(
      str(self.root), held_out=0.3, vocab_size=300, **options
    )
    return source.load(self.root / 'run')

  def test_demonstrations_alone(self):
    chats = self.write(
      'chats.jsonl',
      [
        {
          'messages': [*pair(i)['prompt']]
          + [{'role': 'assistant', 'content': f'answer {i}'}]
        }
        for i in range(40)
      ],
    )
    corpus = self.load(demonstrations=chats)
    self.assertEqual(
      set(corpus.datasets),
      {'demonstrations', 'test_demonstrations', 'prompts', 'test_prompts'},
    )
    self.assertEqual(
      [d.prompt for d in corpus.datasets['demonstrations']],
      corpus.datasets['prompts'],
    )
    self.assertIsNone(corpus.gold)
    judged = self.load(demonstrations=chats, gold=verifying.number)
    self.assertIs(judged.gold, verifying.number)

  def test_prompts_of_their_own(self):
    pairs = self.write('pairs.jsonl', map(pair, range(40)))
    asked = self.write(
      'asked.jsonl', [{'prompt': f'question {i}'} for i in range(30, 60)]
    )
    corpus = self.load(comparisons=pairs, prompts=asked)
    both = corpus.datasets['prompts'] + corpus.datasets['test_prompts']
    self.assertLen(both, 30)
    # An opening is on the same side everywhere.
    held_out = {p.text for p in corpus.datasets['test_prompts']}
    trained = {c.prompt.text for c in corpus.datasets['comparisons']}
    self.assertEmpty(held_out & trained)

  def test_texts_that_nobody_asked_for_are_split_too(self):
    texts = self.write(
      'texts.jsonl', [{'text': f'word {i}'} for i in range(99)]
    )
    datasets = self.load(demonstrations=texts).datasets
    self.assertBetween(len(datasets['test_demonstrations']), 15, 45)

  def test_notes_of_every_file_are_kept_once(self):
    lines = [*map(pair, range(40)), pair(0) | {'rejected': 'good 0'}]
    pairs = self.write('pairs.jsonl', lines)
    chosen = dataclasses.replace(pairs, read=formats.demonstrations)
    notes = self.load(comparisons=pairs, demonstrations=chosen).notes
    self.assertEqual(
      notes,
      (
        'pairs.jsonl: read as TRL preference, 40 comparisons',
        'pairs.jsonl: 1 of 41 left out: the responses are the same text '
        '(first at pairs.jsonl:41)',
        'pairs.jsonl: split by a hash of what is said first, 32 to learn from '
        'and 8 held out',
      ),
    )

  def test_no_file_and_too_few_records(self):
    with self.assertRaisesRegex(jsonl.DataError, 'no file is named; give'):
      self.load()
    pairs = self.write('pairs.jsonl', [pair(1)])
    with self.assertRaisesRegex(
      jsonl.DataError, 'of 1 comparisons of pairs.jsonl . are left to train on'
    ):
      self.load(comparisons=pairs)

  def test_the_fingerprint_knows_columns_and_formats(self):
    self.write('f.jsonl', map(pair, range(9)))
    read = functools.partial(formats.read, format=formats.TRL_PREFERENCE)
    others = [
      files.own_files('f.jsonl', '', read=formats.read),
      files.own_files('f.jsonl', '', read=formats.TRL_PREFERENCE),
      files.own_files('f.jsonl', '', read=read),
      files.own_files('f.jsonl', 'prompt=q', read=formats.read),
      files.own_files('f.jsonl', 'prompt=r', read=formats.read),
    ]
    found = {
      sources.Feedback(str(self.root), one).fingerprint() for one in others
    }
    self.assertLen(found, 5)

  def test_files_as_settings_give_them(self):
    given = files.own_files(
      'a.jsonl, b.json', 'prompt = q,chosen=c', read=formats.read
    )
    self.assertEqual(given.names, ('a.jsonl', 'b.json'))
    self.assertEqual(
      given.read.keywords, {'columns': {'prompt': 'q', 'chosen': 'c'}}
    )
    for columns in ('prompt', 'prompt=', '=q', 'prompt=q,prompt=r'):
      with self.assertRaisesRegex(jsonl.DataError, 'given as FIELD=COLUMN'):
        files.own_files('a.jsonl', columns, read=formats.read)

  def test_a_path_means_a_file_a_folder_or_a_pattern(self):
    for name in ('b.jsonl', 'a.json.gz', 'notes.md', 'c.json'):
      (self.root / name).write_text('')
    for place, names in (
      ('b.jsonl', ('b.jsonl',)),
      ('', ('a.json.gz', 'b.jsonl', 'c.json')),
      ('?.json*', ('a.json.gz', 'b.jsonl', 'c.json')),
      ('[bc].*', ('b.jsonl', 'c.json')),
      ('missing.jsonl', ('missing.jsonl',)),
    ):
      folder, found = files.files_at(
        str(self.root / place), '', read=formats.read
      )
      self.assertEqual((folder, found.names), (str(self.root), names))
    (self.root / 'empty').mkdir()
    with self.assertRaisesRegex(jsonl.DataError, 'empty holds no file of data'):
      files.files_at(str(self.root / 'empty'), '', read=formats.read)

  def test_the_first_of_all_files_are_taken(self):
    self.write('a.jsonl', map(pair, range(6)))
    self.write('b.jsonl', map(pair, range(6, 12)))
    folder, whole = files.files_at(str(self.root), '', read=formats.read)
    _, part = files.files_at(str(self.root), '', read=formats.read, first=8)
    everything, some = whole.records(folder), part.records(folder)
    self.assertLen(everything, 12)
    self.assertEqual(some, everything[:8])
    self.assertIn('the first 8 of 12 are taken', some.notes)
    self.assertNotEqual(part.contents(folder), whole.contents(folder))


class TiersTest(parameterized.TestCase):
  def test_tiers_are_split_and_the_strongest_imitated(self):
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    lines = [
      {'instruction': f'question {i}'}
      | {'outputs': {'instructgpt': f'bad {i}', 'gpt4': f'good {i}'}}
      for i in range(30)
    ]
    (name,) = sources.STRENGTHS
    name = name.removesuffix('.gz')
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (root / name).write_text(text)
    source = sources.Tiers(
      str(root),
      sources.Files((name,), sources.TIERS.read),
      sources.Files((name,), sources.STRONGEST.read),
      held_out=0.3,
      vocab_size=300,
    )
    datasets = source.load(root / 'run').datasets
    self.assertEqual(
      set(datasets),
      {'tiers', 'test_tiers', 'demonstrations', 'test_demonstrations'}
      | {'prompts', 'test_prompts'},
    )
    for side in ('', 'test_'):
      tiers = datasets[f'{side}tiers']
      self.assertGreater(len(tiers), 3)
      self.assertEqual({tier.scores for tier in tiers}, {(2.0, 0.0)})
      self.assertEqual(
        [(tier.prompt, tier.responses[0]) for tier in tiers],
        [tuple(d[:2]) for d in datasets[f'{side}demonstrations']],
      )
      self.assertEqual(
        [tier.prompt for tier in tiers], datasets[f'{side}prompts']
      )
    both = datasets['tiers'] + datasets['test_tiers']
    self.assertLen({tier.prompt.text for tier in both}, 30)
