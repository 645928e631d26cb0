"""Tiny files as each dataset is published, and the records they must become."""

import gzip
import json
import pathlib
import tempfile

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from rlhf_jax.data import builders, prepared
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Rated

try:
  import pyarrow as pa
  from pyarrow import parquet
except ModuleNotFoundError:
  pa = None

HH = '\n\nHuman: hi\n\nAssistant: Yes?\n\nHuman: {}\n\nAssistant: {}'
FASTCHAT = 'fastchat/llm_judge/data'
# Their first turns are held out by a hash, and not.
LEARNT, HELD_OUT = 'question 0', 'question 36'


def asked(text, kind='', where=''):
  return Prompt((Message('user', text),), kind, where)


def hh(said):
  return {
    'chosen': HH.format(said, 'good'),
    'rejected': HH.format(said, 'bad'),
  }


def hh_record(said, subset, split):
  turns = (
    Message('user', 'hi'),
    Message('assistant', 'Yes?'),
    Message('user', said),
  )
  where = f'{subset}/{split}.jsonl.gz:1'
  return Comparison(Prompt(turns, subset, where), ('good', 'bad'))


def chat(said, answer):
  return [
    {'content': said, 'role': 'user'},
    {'content': answer, 'role': 'assistant'},
  ]


def ultrafeedback(said):
  return {
    'prompt': said,
    'prompt_id': 'f0',
    'chosen': chat(said, 'good'),
    'rejected': chat(said, 'bad'),
    'messages': chat(said, 'good'),
    'score_chosen': 8.1,
    'score_rejected': 6.0,
  }


def completions(said):
  scores = {'so so': 6.5, 'good': 9, 'unrated': None, 'bad': 1}
  return {
    'source': 'flan_v2',
    'instruction': said,
    'models': ['m'] * 4,
    'completions': [
      {'model': 'm', 'principle': 'honesty', 'custom_system_prompt': 's'}
      | {'response': text, 'annotations': {}, 'critique': 'c'}
      | {'overall_score': score, 'fine-grained_score': 2.5}
      for text, score in scores.items()
    ],
    'correct_answers': ['None'],
    'incorrect_answers': ['None'],
  }


def pku(said):
  return {
    'prompt': said,
    'prompt_source': 'x',
    'response_0': 'bad',
    'response_1': 'good',
    'better_response_id': 1,
    'safer_response_id': 0,
  }


def node(text, role, rank=None, replies=()):
  return {'text': text, 'role': role, 'lang': 'en', 'rank': rank} | {
    'replies': list(replies)
  }


def tree(said):
  answers = [
    node('bad', 'assistant', 1),
    node('good', 'assistant', 0),
  ]
  return {
    'message_tree_id': 't',
    'tree_state': 'ready_for_export',
    'prompt': node(said, 'prompter', replies=answers),
  }


def summary(said, split):
  summaries = [{'text': 'good', 'policy': 'p'}, {'text': 'bad', 'policy': 'r'}]
  return {
    'info': {'id': 'x', 'post': said, 'title': 't', 'subreddit': 's'},
    'summaries': summaries,
    'choice': 0,
    'worker': 'w',
    'batch': 'b',
    'split': split,
    'extra': {},
  }


def summarised(said, where):
  post = f'SUBREDDIT: r/s\n\nTITLE: t\n\nPOST: {said}\n\nTL;DR:'
  return Comparison(
    asked(post, where=where), ('good', 'bad'), models=('p', 'r')
  )


def farm(said):
  return {'instruction': said, 'input': '', 'output_1': 'bad'} | {
    'output_2': 'good',
    'preference': 2,
  }


def bench(said):
  return {'input': said, 'output_1': 'good', 'output_2': 'bad', 'label': 1}


def rated(said, helpfulness):
  return {'prompt': said, 'response': 'a', 'helpfulness': helpfulness} | {
    'correctness': 3,
    'coherence': 2,
    'complexity': 1,
    'verbosity': 0,
  }


def pair(said, kind='', where=''):
  return Comparison(asked(said, kind, where), ('good', 'bad'))


BOTH = (LEARNT, HELD_OUT)
# name, its files, the records of each split.
DATASETS = (
  (
    'hh_rlhf',
    {
      f'{subset}/{split}.jsonl.gz': [hh(f'{subset} {split}')]
      for subset in ('harmless-base', 'helpful-online')
      for split in ('train', 'test')
    },
    {
      split: [
        hh_record(f'{subset} {split}', subset, split)
        for subset in ('harmless-base', 'helpful-online')
      ]
      for split in ('train', 'test')
    },
  ),
  (
    'alpaca_farm',
    {'alpaca_human_preference.json': [*map(farm, BOTH)]},
    {
      'train': [pair(LEARNT, 'human', 'alpaca_human_preference.json:1')],
      'test': [
        pair(HELD_OUT, 'human', 'alpaca_human_preference.json:1 (item 2)')
      ],
    },
  ),
  (
    'ultrafeedback',
    {
      'data/train_prefs-00000-of-00001.parquet': [ultrafeedback('q')],
      'data/test_prefs-00000-of-00001.parquet': [ultrafeedback('r')],
      'data/train_sft-00000-of-00001.parquet': [{'messages': []}],
    },
    {
      split: [
        Comparison(
          asked(said, where=f'data/{split}_prefs-00000-of-00001.parquet:1'),
          ('good', 'bad'),
          8.1 - 6.0,
          (8.1, 6.0),
        )
      ]
      for split, said in (('train', 'q'), ('test', 'r'))
    },
  ),
  (
    'ultrafeedback_ranked',
    {'flan.jsonl': [*map(completions, BOTH)]},
    {
      split: [
        Comparison(
          asked(said, 'flan', f'flan.jsonl:{line}'),
          ('good', 'so so', 'bad'),
          2.5,
          (9.0, 6.5, 1.0),
          models=('m', 'm', 'm'),
        )
      ]
      for line, split, said in ((1, 'train', LEARNT), (2, 'test', HELD_OUT))
    },
  ),
  (
    'oasst',
    {'2023-04-12_oasst_ready.trees.jsonl.gz': [*map(tree, BOTH)]},
    {
      split: [pair(said, 'en', f'2023-04-12_oasst_ready.trees.jsonl.gz:{line}')]
      for line, (split, said) in enumerate(
        zip(('train', 'test'), BOTH, strict=True), 1
      )
    },
  ),
  (
    'pku_safe_rlhf',
    {
      'data/Alpaca-7B/train.jsonl': [pku('q')],
      'data/Alpaca3-8B/test.jsonl': [pku('r')],
    },
    {
      'train': [pair('q', 'Alpaca-7B', 'data/Alpaca-7B/train.jsonl:1')],
      'test': [pair('r', 'Alpaca3-8B', 'data/Alpaca3-8B/test.jsonl:1')],
    },
  ),
  (
    'summarize_from_feedback',
    {
      'comparisons/batch3.jsonl': [],
      'comparisons/batch10.json': [
        summary('p', 'train'),
        summary('q', 'valid2'),
        summary('r', 'train'),
      ],
    },
    {
      'train': [
        summarised('p', 'comparisons/batch10.json:1'),
        summarised('r', 'comparisons/batch10.json:3'),
      ],
      'validation': [summarised('q', 'comparisons/batch10.json:2')],
    },
  ),
  (
    'llmbar',
    {
      'Dataset/LLMBar/Natural/dataset.json': [bench('q')],
      'Dataset/LLMBar/Adversarial/GPTOut/dataset.json': [bench('r')],
      'Dataset/CaseStudy/Base-9/dataset.json': [bench('s')],
    },
    {
      'test': [
        pair('q', 'Natural', 'Dataset/LLMBar/Natural/dataset.json:1'),
        pair('r', 'GPTOut', 'Dataset/LLMBar/Adversarial/GPTOut/dataset.json:1'),
      ]
    },
  ),
  (
    'alpaca',
    {
      'alpaca_data.json': [
        {'instruction': said, 'input': '', 'output': 'a'} for said in BOTH
      ]
    },
    {
      'train': [Demonstration(asked(LEARNT, where='alpaca_data.json:1'), 'a')],
      'test': [
        Demonstration(asked(HELD_OUT, where='alpaca_data.json:1 (item 2)'), 'a')
      ],
    },
  ),
  (
    'dolly',
    {
      'databricks-dolly-15k.jsonl': [
        {'instruction': said, 'context': '', 'response': 'a', 'category': 'c'}
        for said in BOTH
      ]
    },
    {
      split: [
        Demonstration(
          asked(said, 'c', f'databricks-dolly-15k.jsonl:{line}'), 'a'
        )
      ]
      for line, split, said in ((1, 'train', LEARNT), (2, 'test', HELD_OUT))
    },
  ),
  (
    'helpsteer',
    {
      'train.jsonl.gz': [rated('q', 4)],
      'validation.jsonl.gz': [rated('q', 1)],
    },
    {
      split: [
        Rated(
          asked('q', where=f'{split}.jsonl.gz:1'),
          'a',
          (helpfulness, 3.0, 2.0, 1.0, 0.0),
        )
      ]
      for split, helpfulness in (('train', 4.0), ('validation', 1.0))
    },
  ),
  (
    'vicuna',
    {
      f'{FASTCHAT}/vicuna_bench/question.jsonl': [
        {'question_id': 1, 'category': 'c', 'turns': ['q']}
      ]
    },
    {'test': [asked('q', 'c', f'{FASTCHAT}/vicuna_bench/question.jsonl:1')]},
  ),
  (
    'mt_bench',
    {
      f'{FASTCHAT}/mt_bench/question.jsonl': [
        {'question_id': 1, 'category': 'c', 'turns': ['q', 'r']}
        | {'reference': ['a', 'b']}
      ]
    },
    {
      split: [
        asked(said, 'c', f'{FASTCHAT}/mt_bench/question.jsonl:1')._replace(
          answer=answer
        )
      ]
      for split, said, answer in (
        ('test', 'q', 'a'),
        ('second_turns', 'r', 'b'),
      )
    },
  ),
  (
    'alpaca_eval',
    {
      'alpaca_eval.json': [
        {'dataset': 'koala', 'instruction': said, 'output': 'a'}
        | {'generator': 'text_davinci_003'}
        for said in BOTH
      ]
    },
    {
      'test': [
        asked(LEARNT, 'koala', 'alpaca_eval.json:1'),
        asked(HELD_OUT, 'koala', 'alpaca_eval.json:1 (item 2)'),
      ]
    },
  ),
  (
    'comparisons',
    {
      'mine.jsonl': [
        {'prompt': said, 'chosen': 'good', 'rejected': 'bad'} for said in BOTH
      ]
    },
    {
      'train': [pair(LEARNT, where='mine.jsonl:1')],
      'test': [pair(HELD_OUT, where='mine.jsonl:2')],
    },
  ),
  (
    'demonstrations',
    {
      'a.jsonl': [{'prompt': LEARNT, 'completion': 'a'}],
      'b.json': [{'messages': chat(HELD_OUT, 'b')}],
    },
    {
      'train': [Demonstration(asked(LEARNT, where='a.jsonl:1'), 'a')],
      'test': [Demonstration(asked(HELD_OUT, where='b.json:1'), 'b')],
    },
  ),
  (
    'prompts',
    {'mine.jsonl': [{'prompt': said} for said in (*BOTH, LEARNT)]},
    {
      'train': [asked(LEARNT, where='mine.jsonl:1')],
      'test': [asked(HELD_OUT, where='mine.jsonl:2')],
    },
  ),
)


def write(path, rows):
  """Rows as a file of the kind that its name says."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.parquet':
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return
  lines = ''.join(json.dumps(row) + '\n' for row in rows)
  # Files of JSON are arrays, but those of summaries.
  if path.suffix == '.json' and 'batch' not in path.name:
    lines = json.dumps(rows)
  content = lines.encode()
  path.write_bytes(gzip.compress(content) if path.suffix == '.gz' else content)


class PublicTest(parameterized.TestCase):
  @parameterized.named_parameters(
    (name, name, files, expected) for name, files, expected in DATASETS
  )
  def test_files_as_published_become_records(self, name, files, expected):
    if pa is None and any(path.endswith('.parquet') for path in files):
      self.skipTest('pyarrow is not installed')
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    for path, rows in files.items():
      write(root / 'files' / path, rows)
    builder = tfds.builder(name, data_dir=root / 'to')
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=root / 'files')
    )
    found = {
      split: list(prepared.Split(builder.data_path / split))
      for split in builder.info.splits
    }
    self.assertEqual(found, expected)

  def test_every_public_dataset_is_here(self):
    known = {
      one.name
      for one in vars(builders).values()
      if isinstance(one, type) and one is not builders.FeedbackBuilder
    }
    # Those of no public file alone, whose rows `shared_test` reads.
    rest = {'alpaca_farm_ranked', 'oasst_attributes', 'hanna'}
    self.assertEqual(known - rest, {name for name, *_ in DATASETS})


if __name__ == '__main__':
  absltest.main()
