"""The first afternoon, of made files and a model that nobody trained."""

import gzip
import io
import json
import pathlib
import re
import tempfile

import jax
import numpy as np
from absl.testing import absltest

from experiments import afternoon
from experiments.afternoon import source
from launch import loading
from rlhf_jax import experiment as experiments
from rlhf_jax.data import jsonl, tokens
from rlhf_jax.models import TransformerConfig, huggingface, language_model

ROOT = pathlib.Path(__file__).parents[2]
FILE = ROOT / 'experiments' / 'finetune' / 'first_afternoon.py'
GOOD, BAD = ('fine', 'warm', 'bright'), ('dull', 'flat', 'stale')


def review(draw, label):
  words = draw.choice(GOOD if label else BAD, 3)
  first = draw.choice(['a', 'the', 'this'])
  return f'{first} film of {draw.integers(10_000)} {" ".join(words)} parts .'


def dialogue(draw, number):
  chosen, rejected = (f'{w} words .' for w in ('kind', 'rude'))
  turns = [{'role': 'user', 'content': f'question {number} ?'}]
  if number % 3 == 0:
    turns += [
      {'role': 'assistant', 'content': 'what ?'},
      {'role': 'user', 'content': draw.choice(['this', 'that'])},
    ]
  if number == 5:
    chosen = chosen * 40
  subset = 'made'
  return {
    'id': str(number),
    'subset': subset,
    'prompt': turns,
    'chosen': chosen,
    'rejected': rejected,
  }


def write(path, rows):
  with gzip.open(path, 'wt') as file:
    file.writelines(json.dumps(row) + '\n' for row in rows)


def made(root):
  """Writes the files, and a folder with a tiny model."""
  draw = np.random.default_rng(0)
  for names in source.DIALOGUES.values():
    for place, name in enumerate(names):
      rows = [dialogue(draw, 100 * place + n) for n in range(24)]
      write(root / name, [*rows, rows[0]])
  labels = [1] * 120 + [0] * 120
  write(
    root / source.REVIEWS,
    [{'text': review(draw, label), 'label': label} for label in labels],
  )
  texts = [review(draw, n % 2) for n in range(50)] + ['kind rude words']
  tokenizer = tokens.train_bpe(texts, vocab_size=320)
  config = TransformerConfig(
    vocab_size=tokenizer.vocab_size,
    layers=2,
    width=16,
    heads=2,
    kv_heads=1,
    head_width=8,
    mlp_width=16,
  )
  params = language_model(config).init(jax.random.key(0))
  huggingface.write(root / 'model', config, params)
  tokenizer.save(root / 'model')


class FirstAfternoonTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    made(cls.root)
    cls.model = str(cls.root / 'model')

  def test_ends_with_what_it_shows(self):
    assignments = [
      f'data={self.root}',
      f'model={self.model}',
      'trunk_layers=1',
      'data.prompts=4',
      'limits.max_response_tokens=12',
    ]
    built = loading.build(loading.load(FILE), assignments)
    console = io.StringIO()
    results = experiments.run(
      built,
      self.root / 'out',
      stages_dir=self.root / 'stages',
      console=console,
    )
    measured = results['reward_models']
    for kind in ('helpful', 'harmless', 'review'):
      found = measured[kind][f'test_{kind}_pairs']
      self.assertEqual(list(measured[kind]), [f'test_{kind}_pairs'])
      # The pairs differ by a word, which one layer shows.
      self.assertGreater(found['accuracy']['value'], 0.8)
      beyond = (
        found['accuracy']['value'] - found['lengths']['always_longer']['value']
      )
      self.assertAlmostEqual(
        found['lengths']['over_longer']['value'], beyond, places=6
      )
    best = results['policies']['best of 8']
    self.assertIn('words of other reviews', best['judge'])
    self.assertEqual(best['scored_by'], 'review')
    one = results['policies']['one sample']
    self.assertGreater(best['score'], one['score'])
    report = (self.root / 'out' / 'report.md').read_text()
    self.assertIn('The best by a learnt reward reads as more positive', report)
    self.assertIn('words of other reviews', report)
    self.assertIn('beyond the longer', results.table)

  def test_reads_pairs_of_its_kinds(self):
    corpus = afternoon.Source(str(self.root), self.model).load(self.root)
    found = corpus.datasets
    # Of 3 × 24 dialogues, a repeated one and a long one each are left out.
    self.assertLen(
      [*found['helpful_pairs'], *found['test_helpful_pairs']], 3 * 23 + 2
    )
    openings = [
      {re.match('Human: (.*)', p.prompt.text)[1] for p in found[name]}
      for name in ('helpful_pairs', 'test_helpful_pairs')
    ]
    self.assertFalse(openings[0] & openings[1])
    for name in ('review_pairs', 'test_review_pairs'):
      for pair in found[name]:
        for text, words in zip(pair.responses, (GOOD, BAD), strict=True):
          self.assertTrue(any(word in text for word in words), text)
        self.assertIn(pair.prompt.text, ('a', 'the', 'this'))
    # Nobody judges a text that he counted.
    learnt = ' '.join(r for p in found['review_pairs'] for r in p.responses)
    held_out = ' '.join(p.text for p in found['openings'])
    counted = {w for w in corpus.gold.odds if w.isdigit() and len(w) > 2}
    self.assertFalse(counted & set(re.findall(r'\d{3,}', learnt)))
    self.assertFalse(counted & set(re.findall(r'\d{3,}', held_out)))
    self.assertGreater(corpus.gold.score('bright warm'), 1.0)

  def test_says_what_it_wants(self):
    nowhere = afternoon.Source(str(self.root / 'not'), self.model)
    with self.assertRaisesRegex(jsonl.DataError, 'rt_polarity.jsonl.gz') as e:
      nowhere.fingerprint()
    for words in ('--set data=DIR', 'MIT', 'CC BY 4.0', 'anthropics/hh-rlhf'):
      self.assertIn(words, str(e.exception))
    unmade = afternoon.Source(str(self.root), 'models/none')
    with self.assertRaisesRegex(jsonl.DataError, 'import_weights smollm2 mode'):
      unmade.fingerprint()
    # What can be set is shown without either.
    built = loading.build(loading.load(FILE), [])
    self.assertEqual(built.evaluation.scored_by, 'review')


if __name__ == '__main__':
  absltest.main()
