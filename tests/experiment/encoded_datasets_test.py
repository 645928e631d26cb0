"""Datasets are encoded once for all that ask for them, by their content."""

import dataclasses
import io
import pathlib
import tempfile
import types
from unittest import mock

import jax
from absl.testing import absltest

from rlhf_jax.data import (
  chat_templates,
  encoded,
  encoding,
  limits,
  record_lines,
  sources,
  tokens,
)
from rlhf_jax.experiment import encoded_datasets, store
from rlhf_jax.experiment.datasets import Data, TextData
from rlhf_jax.storage import files, seals
from rlhf_jax.types import Comparison, Message, Prompt, Response

TEXTS = ['what is it', 'it is 42', 'no'] * 9
LIMITS = limits.Limits(max_prompt_tokens=64, max_response_tokens=16)


def pair(number):
  prompt = Prompt((Message('user', f'what is {number}'),))
  return Comparison(prompt, (str(number), 'no'))


class EncodedDatasetsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.enterContext(mock.patch.object(encoded_datasets, 'FEW', 20))
    self.write('pairs-aaa', 30)
    self.tokenizer = tokens.train_bpe(TEXTS, vocab_size=270)

  def write(self, name, count):
    """A folder of records as a dataset stage leaves it."""
    folder = store.Folder(self.root / name)
    files.make_folder(folder.path)
    path = folder.path / store.RECORDS
    files.write_lines(path, map(record_lines.row, map(pair, range(count))))
    folder.finish({'checksum': seals.checksum(path)})

  def run_of(self, under=LIMITS, tokenizer=None, folder='pairs-aaa'):
    """What is asked of a run."""
    tokenizer = tokenizer or self.tokenizer
    corpus = sources.Corpus(
      tokenizer, chat_templates.of(tokenizer), {'few': [pair(1), pair(2)]}
    )
    data = Data(
      corpus=corpus,
      written={'pairs': store.Folder(self.root / folder)},
      limits=under,
      mesh=jax.make_mesh((1,), ('data',), devices=jax.devices()[:1]),
      max_rows=8,
      console=io.StringIO(),
    )
    folders = store.Folders(
      root=self.root, addresses={}, settings={}, console=io.StringIO()
    )
    return types.SimpleNamespace(
      data=data,
      corpus=corpus,
      folders=folders,
      console=io.StringIO(),
      experiment=types.SimpleNamespace(limits=under),
    )

  def learnable(self, run, name='pairs'):
    records = run.data.records(name)
    return encoded_datasets.learnable(run, 'dpo', records, run.data)

  def folders(self):
    return sorted((self.root / encoded_datasets.FOLDER).glob('*'))

  def test_as_the_records_are_encoded(self):
    run = self.run_of()
    for view, encode in (
      (encoded_datasets.learnable, run.data.encode),
      (encoded_datasets.all_of, run.data.encode_all),
    ):
      records = run.data.records('pairs')
      examples, counts = view(run, 'dpo', records, run.data)
      expected, told = encode(list(records))
      self.assertIsInstance(examples, encoded.Encoded)
      self.assertEqual(counts, told)
      self.assertEqual([e._replace(held=e.record) for e in examples], expected)

  def test_who_reads_text_has_ids_of_its_own(self):
    sampled = [
      pair(n)._replace(responses=(Response('7', ids=(5, 6)), 'no'))
      for n in range(30)
    ]
    with mock.patch(f'{__name__}.pair', sampled.__getitem__):
      self.write('pairs-aaa', 30)
    run = self.run_of()
    values = {
      f.name: getattr(run.data, f.name) for f in dataclasses.fields(Data)
    }
    records = run.data.records('pairs')
    found = {}
    for kind in (Data, TextData):
      examples, _ = encoded_datasets.learnable(
        run, 'ranker', records, kind(**values)
      )
      self.assertIsInstance(examples, encoded.Encoded)
      found[kind] = examples[0].response_ids[0]
    self.assertEqual(list(found[Data]), [5, 6])
    seven = self.tokenizer.encode('7')
    self.assertEqual(found[TextData][: len(seven)], seven)

  def test_another_stage_or_run_encodes_nothing(self):
    examples, _ = self.learnable(self.run_of())
    with (
      mock.patch.object(encoding, 'stream', side_effect=AssertionError),
      mock.patch.object(record_lines, 'parse', side_effect=AssertionError),
    ):
      again, _ = self.learnable(self.run_of())
      self.assertEqual(
        [e._replace(held=None) for e in again],
        [e._replace(held=None) for e in examples],
      )
    self.assertLen(self.folders(), 1)

  def test_other_ids_are_others(self):
    self.learnable(self.run_of())
    for same in (dataclasses.replace(LIMITS, buckets=(8, 16)), LIMITS):
      self.learnable(self.run_of(same))
    self.assertLen(self.folders(), 1)
    for other in ({'overlong': limits.drop}, {'max_prompt_tokens': 60}):
      self.learnable(self.run_of(dataclasses.replace(LIMITS, **other)))
    self.learnable(
      self.run_of(tokenizer=tokens.train_bpe(TEXTS[:-1], vocab_size=268))
    )
    self.write('pairs-bbb', 31)
    self.learnable(self.run_of(folder='pairs-bbb'))
    self.assertLen(self.folders(), 5)

  def test_several_datasets_are_one(self):
    run = self.run_of()
    examples, _ = self.learnable(run, ('pairs', 'pairs'))
    self.assertLen(examples, 60)
    self.assertEqual(examples[31].record, pair_at(run, 1))
    self.assertEqual(examples[31].index, 31)

  def test_few_and_those_in_memory_are_encoded_there(self):
    self.write('pairs-ccc', 5)
    examples, _ = self.learnable(self.run_of(folder='pairs-ccc'))
    self.assertLen(examples, 5)
    run = self.run_of()
    run.corpus.datasets['few'] += map(pair, range(3, 30))
    examples, _ = self.learnable(run, 'few')
    self.assertLen(examples, 29)
    self.assertEmpty(self.folders())

  def test_a_damaged_folder_is_told(self):
    self.learnable(self.run_of())
    (folder,) = self.folders()
    (folder / 'ids').write_bytes(b'x')
    with self.assertRaisesRegex(seals.DamagedError, f'delete {folder}, and'):
      self.learnable(self.run_of())


def pair_at(run, place):
  return run.data.records('pairs')[place]


if __name__ == '__main__':
  absltest.main()
