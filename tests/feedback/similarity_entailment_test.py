"""Responses that follow from each other, as a table of labels has it."""

import importlib.util
import json
import pathlib
import tempfile
import unittest

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback.similarity import entailment, nli_folder
from rlhf_jax.types import Message, Prompt

C, N, E = 0, 1, 2
HAS_TORCH = importlib.util.find_spec('torch') is not None


def ask(text='what ?'):
  return Prompt((Message('user', text),))


class Table:
  """Labels by the last words of premise and hypothesis, and what was asked."""

  def __init__(self, labels, otherwise=N):
    self.calls, self._labels, self._otherwise = [], labels, otherwise

  def __call__(self, premises, hypotheses):
    pairs = list(zip(premises, hypotheses, strict=True))
    self.calls.append(pairs)
    ends = [(p.split()[-1], h.split()[-1]) for p, h in pairs]
    return np.array([self._labels.get(end, self._otherwise) for end in ends])


class RulesTest(parameterized.TestCase):
  # Forward by rows and backward by columns: contradiction, neutral, entailment.
  @parameterized.named_parameters(
    ('strict', 'strict', [[0, 0, 0], [0, 0, 0], [0, 0, 1]]),
    ('relaxed', 'relaxed', [[0, 0, 0], [0, 0, 1], [0, 1, 1]]),
    ('permissive', 'permissive', [[0, 0, 0], [0, 1, 1], [0, 1, 1]]),
  )
  def test_all_pairs_of_labels(self, rule, expected):
    forward, backward = np.meshgrid([C, N, E], [C, N, E], indexing='ij')
    actual = getattr(entailment, rule)(forward, backward)
    np.testing.assert_array_equal(actual, np.array(expected, bool))
    self.assertEqual(actual.dtype, bool)

  def test_the_labels(self):
    self.assertEqual(
      (entailment.CONTRADICTION, entailment.NEUTRAL, entailment.ENTAILMENT),
      (C, N, E),
    )


class EntailmentTest(parameterized.TestCase):
  def between(self, table, *responses, **options):
    (matrix,) = entailment.entailment(
      [ask()], [responses], None, classify=table, **options
    )
    return matrix

  @parameterized.named_parameters(
    ('strict', 'strict', [(0, 1)]),
    ('relaxed', 'relaxed', [(0, 1), (0, 2)]),
    ('permissive', 'permissive', [(0, 1), (0, 2), (1, 2)]),
  )
  def test_rules_on_a_matrix(self, rule, edges):
    table = Table(
      {
        ('x', 'y'): E,
        ('y', 'x'): E,
        ('x', 'z'): E,  # One way alone.
        ('x', 'w'): E,
        ('w', 'x'): C,
        ('w', 'y'): C,
        ('z', 'w'): C,
      }
    )
    expected = np.eye(4, dtype=bool)
    for i, j in edges:
      expected[i, j] = expected[j, i] = True
    actual = self.between(
      table, 'x', 'y', 'z', 'w', rule=getattr(entailment, rule)
    )
    np.testing.assert_array_equal(actual, expected)

  def test_strict_is_what_is_done_unless_told(self):
    self.assertFalse(self.between(Table({('x', 'y'): E}), 'x', 'y')[0, 1])
    both = Table({('x', 'y'): E, ('y', 'x'): E})
    self.assertTrue(self.between(both, 'x', 'y')[0, 1])

  def test_all_prompts_in_one_call_and_each_pair_once(self):
    table = Table({('b', 'c'): E, ('c', 'b'): E})
    found = entailment.entailment(
      [ask('p ?'), ask('q ?'), ask('r ?')],
      [['a', 'b', 'a', 'c'], ['a', 'a'], ['c', 'b']],
      None,
      classify=table,
    )
    (asked,) = table.calls
    expected = [
      ('p ? a', 'p ? b'),
      ('p ? a', 'p ? c'),
      ('p ? b', 'p ? a'),
      ('p ? b', 'p ? c'),
      ('p ? c', 'p ? a'),
      ('p ? c', 'p ? b'),
      ('r ? c', 'r ? b'),
      ('r ? b', 'r ? c'),
    ]
    self.assertCountEqual(asked, expected)
    first = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    np.testing.assert_array_equal(found[0], np.array(first, bool))
    np.testing.assert_array_equal(found[1], True)
    np.testing.assert_array_equal(found[2], True)

  def test_equal_strings_are_similar_whatever_is_said(self):
    table = Table({}, otherwise=C)
    np.testing.assert_array_equal(self.between(table, 'x', 'x'), True)
    self.assertEqual(table.calls, [])  # Nothing is asked.

  def test_sides_are_cut_by_words(self):
    table, prompt = Table({}), ask('one two three four')
    entailment.entailment(
      [prompt],
      [['a  b\nc', 'a b c d e']],
      None,
      classify=table,
      prompt_words=3,
      side_words=6,
    )
    (((first, second), _),) = table.calls
    self.assertEqual(first, 'one two three a  b\nc')  # As it was.
    self.assertEqual(second, 'one two three a b c')

  def test_so_many_words_of_a_side_are_read(self):
    table, prompt = Table({}), ask(' '.join(['why'] * 70))
    listed = ['a ' * 125 + 'end', 'a ' * 126 + 'end']
    entailment.entailment([prompt], [listed], None, classify=table)
    (((first, second), _),) = table.calls
    self.assertEqual([len(first.split()), len(second.split())], [190, 190])
    self.assertTrue(first.endswith('end'))
    self.assertFalse(second.endswith('end'))

  @parameterized.parameters(([0, 3],), ([0.5, 1],), ([1],), ([[1, 1]],))
  def test_refuses_other_labels(self, labels):
    with self.assertRaisesRegex(ValueError, '2 pairs were given'):
      self.between(lambda *_: np.array(labels), 'x', 'y')


class FolderTest(parameterized.TestCase):
  @parameterized.parameters(
    ({0: 'CONTRADICTION', 1: 'NEUTRAL', 2: 'ENTAILMENT'}, [0, 1, 2]),
    ({0: 'entailment', 1: 'neutral', 2: 'contradiction'}, [2, 1, 0]),
    ({'2': 'Neutral', '0': 'Contradiction', '1': 'entailment '}, [0, 2, 1]),
  )
  def test_order_of_labels(self, names, expected):
    order = nli_folder.label_order(names)
    np.testing.assert_array_equal(order, expected)

  @parameterized.parameters(
    ({0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2'},),
    ({0: 'entailment', 1: 'not_entailment'},),
    ({0: 'entailment', 1: 'neutral', 2: 'neutral'},),
    ({1: 'entailment', 2: 'neutral', 3: 'contradiction'},),
  )
  def test_refuses_other_classes(self, names):
    with self.assertRaisesRegex(ValueError, 'id2label .* has to name'):
      nli_folder.label_order(names)

  @unittest.skipIf(HAS_TORCH, 'PyTorch is here')
  def test_says_what_is_missing_when_asked_and_not_before(self):
    classify = nli_folder.nli_folder('a/folder', batch_size=4)
    with self.assertRaisesRegex(ValueError, 'a/folder needs PyTorch'):
      classify(['a'], ['b'])

  @unittest.skipUnless(HAS_TORCH, 'needs PyTorch')
  def test_labels_are_the_models_own_by_name(self):
    with tempfile.TemporaryDirectory() as folder:
      expected = small_model(pathlib.Path(folder))
      classify = nli_folder.nli_folder(folder, batch_size=2)
      words = ['a', 'b', 'c']
      labels = classify(words, words)
    np.testing.assert_array_equal(labels, expected)


def small_model(folder):
  """Writes a model that tells the three classes by its bias, always one."""
  import torch
  import transformers

  vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', 'c']
  (folder / 'vocab.txt').write_text('\n'.join(vocabulary))
  names = {0: 'entailment', 1: 'contradiction', 2: 'neutral'}
  config = transformers.BertConfig(
    vocab_size=len(vocabulary),
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    intermediate_size=8,
    id2label=names,
    label2id={name: i for i, name in names.items()},
  )
  model = transformers.BertForSequenceClassification(config)
  with torch.no_grad():
    model.classifier.weight.zero_()
    model.classifier.bias.copy_(torch.tensor([0.0, 1.0, 0.5]))
  model.save_pretrained(folder)
  (folder / 'tokenizer_config.json').write_text(
    json.dumps({'tokenizer_class': 'BertTokenizer'})
  )
  return [C, C, C]


if __name__ == '__main__':
  absltest.main()
