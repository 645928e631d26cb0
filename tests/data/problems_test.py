"""The source of problems: sides, answers, and what it is called."""

import dataclasses
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.data import jsonl, readers
from rlhf_jax.data.problems import Problems
from rlhf_jax.data.sources import Files
from tests.data import word_problems


def lengths(prompts, responses):
  return [len(response) for response in responses]


class ProblemsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.data, self.run = root / 'data', root / 'run'
    self.data.mkdir()
    self.lines = word_problems.make(60, seed=0)
    self.write('train.jsonl', self.lines[:40])
    self.write('test.jsonl', self.lines[40:])
    self.hashed = Problems(str(self.data), held_out=0.3, vocab_size=300)
    self.filed = dataclasses.replace(
      self.hashed, test=Files(('test.jsonl',), readers.problems)
    )

  def write(self, name, lines):
    word_problems.write(self.data / name, lines)

  def test_a_share_is_held_out(self):
    datasets = self.hashed.load(self.run).datasets
    sizes = {name: len(records) for name, records in datasets.items()}
    self.assertEqual(sizes['demonstrations'] + sizes['test_demonstrations'], 40)
    self.assertBetween(sizes['test_demonstrations'], 4, 22)
    for side in ('', 'test_'):
      demonstrations = datasets[f'{side}demonstrations']
      self.assertEqual(
        [d.prompt for d in demonstrations], datasets[f'{side}prompts']
      )
    both = datasets['prompts'] + datasets['test_prompts']
    self.assertLen({prompt.text for prompt in both}, 40)

  def test_a_file_can_be_held_out(self):
    datasets = self.filed.load(self.run).datasets
    for side, lines in (('', self.lines[:40]), ('test_', self.lines[40:])):
      self.assertEqual(
        [d.response for d in datasets[f'{side}demonstrations']],
        [line['answer'] for line in lines],
      )
      self.assertEqual(
        [(p.text, p.answer) for p in datasets[f'{side}prompts']],
        [(x['question'], x['answer'].split('#### ')[1]) for x in lines],
      )
    self.assertEqual(datasets['test_prompts'][2].where, 'test.jsonl:3')

  def test_what_the_test_asks_is_not_trained_on(self):
    self.write('test.jsonl', self.lines[38:])
    corpus = self.filed.load(self.run)
    datasets = corpus.datasets
    self.assertIn('2 of 40 problems left out of training', corpus.notes[0])
    self.assertLen(datasets['demonstrations'], 38)
    self.assertLen(datasets['test_demonstrations'], 22)

  def test_gold_is_handed_on(self):
    self.assertIsNone(self.hashed.load(self.run).gold)
    source = dataclasses.replace(self.hashed, gold=lengths)
    self.assertEqual(source.load(self.run).gold([], ['abc']), [3])
    self.assertEqual(source.fingerprint(), self.hashed.fingerprint())

  def test_a_tokenizer_is_trained_once_and_reads_the_problems(self):
    corpus = self.filed.load(self.run)
    (folder,) = self.run.iterdir()
    self.assertEqual(folder.name, f'tokenizer-{self.filed.fingerprint()}')
    text = self.lines[0]['answer']
    ids = corpus.tokenizer.encode(text)
    self.assertEqual(corpus.tokenizer.decode(ids), text)
    self.assertLess(len(ids), len(text))

    given = dataclasses.replace(self.filed, tokenizer=str(folder))
    again = given.load(self.data / 'other').tokenizer
    self.assertEqual(again.encode(text), ids)
    self.assertFalse((self.data / 'other').exists())
    self.assertNotEqual(given.fingerprint(), self.filed.fingerprint())

  def test_the_fingerprint_is_of_content_and_settings(self):
    found = {
      self.hashed.fingerprint(),
      self.filed.fingerprint(),
      dataclasses.replace(self.hashed, held_out=0.2).fingerprint(),
      dataclasses.replace(self.hashed, vocab_size=301).fingerprint(),
    }
    self.assertLen(found, 4)
    # A share that is not used is no difference.
    filed = dataclasses.replace(self.filed, held_out=0.2)
    self.assertEqual(filed.fingerprint(), self.filed.fingerprint())
    for name in ('train.jsonl', 'test.jsonl'):
      self.write(name, self.lines[1:30])
      self.assertNotIn(self.filed.fingerprint(), found)
      found.add(self.filed.fingerprint())

  @parameterized.parameters(0.0, 1.0)
  def test_refuses_shares_that_leave_a_side_empty(self, held_out):
    with self.assertRaisesRegex(ValueError, f'held_out is {held_out}'):
      dataclasses.replace(self.hashed, held_out=held_out)

  def test_refuses_too_few_problems(self):
    self.write('train.jsonl', self.lines[:1])
    with self.assertRaisesRegex(jsonl.DataError, 'of 1 problems . are left'):
      self.hashed.load(self.run)
    self.write('test.jsonl', self.lines[:1])
    with self.assertRaisesRegex(jsonl.DataError, '0 are left to train on'):
      self.filed.load(self.run)


if __name__ == '__main__':
  absltest.main()
