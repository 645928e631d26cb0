"""Each dataset is prepared, read, encoded and trained on, by what fits it.

The policy says every token with the same probability 1/V at first, so that the
first loss of each method is known from its batch. It is a table of the next
token by the one before, as in `tests.toy`.
"""

import functools
import itertools
import pathlib
import tempfile

import jax
import numpy as np
import optax
import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from rlhf_jax.data import (
  builders,
  chat_templates,
  collation,
  encoding,
  limits,
  prepared,
  responses,
  templates,
  tokens,
)
from rlhf_jax.generation import decode
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import attribute_model, dpo, rrhf, sft
from rlhf_jax.training import metrics
from rlhf_jax.training import state as training
from rlhf_jax.types import Demonstration, Prompt, Rated
from tests import toy
from tests.data.builders import public_test, shared_test

VOCABULARY = 261  # Every byte is a token, and so are a few markers.
LIMITS = limits.Limits(
  max_prompt_tokens=48, max_response_tokens=32, overlong=limits.keep_end
)
ROWS, STEPS, SAMPLED = 4, 3, 6
LONGEST_LIST = 19
OPTIMIZER = optax.adam(0.1)
POLICY = {'embedding': np.zeros((VOCABULARY, VOCABULARY), np.float32)}


def words(tokens, mask):
  """[B, V] the share that each token has of a row."""
  return jax.nn.one_hot(tokens, VOCABULARY).mean(1, where=mask[..., None])


MODELS = toy.MODELS._replace(
  reward=toy.SCALAR._replace(
    scores=lambda params, tokens, mask: (
      words(tokens, mask) @ params['head']['kernel']
    )
  )
)


@functools.cache
def update_of(method):
  """A method's update, which all datasets share."""
  fixed = ('models', 'optimizer', 'config')
  return jax.jit(method.update, static_argnames=fixed)


def imitated(batch):
  """By SFT: a mean over tokens."""
  del batch
  return sft, sft.Config(steps=STEPS), {'policy': POLICY}, np.log(VOCABULARY)


def preferred(batch):
  """By DPO, from its own reference."""
  del batch
  return dpo, dpo.Config(steps=STEPS), {'policy': POLICY}, np.log(2.0)


def ranked(batch):
  """By RRHF: none is above another yet, and the best is imitated, a sum."""
  best = batch.response_mask[:, 0].sum(-1).mean()
  config = rrhf.Config(steps=STEPS)
  return rrhf, config, {'policy': POLICY}, best * np.log(VOCABULARY)


def rated(batch):
  """By a regression that says 0 of everything at first."""
  names = tuple(f'attribute_{m}' for m in range(batch.ratings.shape[1]))
  head = {'kernel': np.zeros((VOCABULARY, len(names)), np.float32)}
  return (
    attribute_model,
    attribute_model.Config(steps=STEPS, names=names),
    {'attributes': {'trunk': {}, 'head': head}},
    np.mean(batch.ratings**2, where=batch.rating_mask),
  )


def losses(batch, made):
  """The loss at each step on one batch, and what the first has to be."""
  method, config, params, expected = made(batch)
  state, found = training.create(params, OPTIMIZER), []
  for _ in range(STEPS):
    state, told = update_of(method)(
      state,
      {'reference': POLICY},
      batch,
      jax.random.key(0),
      models=MODELS,
      optimizer=OPTIMIZER,
      config=config,
    )
    summary = metrics.summarise([told])
    found.append(sum(v for k, v in summary.items() if k.startswith('loss/')))
  return found, expected


def _left_out(counts):
  """How many records of each kind nothing is learnt from."""
  return (
    counts.dropped_prompts,
    counts.identical_responses,
    counts.tied_scores,
    counts.empty_responses,
  )


class TrainedTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.tokenizer = tokens.train_bpe(
      [], vocab_size=VOCABULARY, chat_template=templates.CHAT.jinja
    )
    cls.template = chat_templates.of(cls.tokenizer)
    cls.sampler = decode.policy_sampler(
      toy.POLICY,
      max_response=SAMPLED,
      stop_ids=(cls.tokenizer.eos_id,),
      pad_id=cls.tokenizer.pad_id,
    )

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def prepared(self, name, folder):
    """The splits of a dataset that is prepared from a folder of files."""
    builder = tfds.builder(name, data_dir=self.root / 'to')
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
    return builder, {
      split: prepared.Split(builder.data_path / split)
      for split in builder.info.splits
    }

  def check(self, name, folder, total):
    """Prepares, reads, encodes and trains; `total` records are in the files."""
    builder, splits = self.prepared(name, folder)
    counts = {split: len(records) for split, records in splits.items()}
    self.assertEqual(sum(counts.values()), total)
    records = list(next(iter(splits.values())))
    kinds = {type(record) for record in records}
    self.assertEqual(kinds, {builder.RECORD})
    encode = encoding.encode_all if Prompt in kinds else encoding.encode
    examples, left_out = encode(records, self.tokenizer, self.template, LIMITS)
    # All but those of which the limits leave nothing, or equal responses.
    self.assertLen(examples, len(records) - sum(_left_out(left_out)))
    said = self.sampled if Prompt in kinds else self.trained
    print(f'\n{name}: {counts}, {len(examples)} encoded, {said(examples)}')

  def trained(self, examples):
    longest = max(len(example.response_ids) for example in examples)
    kind, made, most = examples[0].kind, preferred, 2
    if kind is Demonstration:
      made = imitated
    elif kind is Rated:
      made = rated
    elif longest > 2:
      made, most = ranked, LONGEST_LIST
    some = itertools.islice(itertools.cycle(examples), ROWS)
    batch = collation.collate(
      list(some),
      pad_id=self.tokenizer.pad_id,
      limits=LIMITS,
      candidates=most,
    )
    found, expected = losses(batch, made)
    self.assertTrue(np.isfinite(found).all(), found)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)
    self.assertLess(found[-1], found[0])
    return f'{made.__name__}: ' + ' → '.join(f'{x:.3f}' for x in found)

  def sampled(self, examples):
    some = examples[:ROWS]
    batch = collation.collate(
      list(itertools.islice(itertools.cycle(some), ROWS)),
      pad_id=self.tokenizer.pad_id,
      limits=LIMITS,
    )
    rollouts = self.sampler(
      POLICY, batch, jax.random.key(0), samples=1, sampling=Sampling()
    )
    ids, mask = map(np.asarray, rollouts.responses)
    self.assertEqual(ids.shape, (ROWS, 1, SAMPLED))
    np.testing.assert_allclose(
      np.asarray(rollouts.logps)[mask], -np.log(VOCABULARY), rtol=1e-5
    )
    drawn = (ids[0, 0][mask[0, 0]].tolist(), bool(rollouts.ended[0, 0]))
    ((answer,),) = responses.decoded(
      [(some[0].prompt, [drawn])], self.tokenizer, self.template
    )
    self.assertEqual(answer.ended, self.tokenizer.eos_id in ids[0, 0])
    return f'sampled {answer!r}'

  @parameterized.named_parameters(
    (name, name, files, sum(map(len, splits.values())))
    for name, files, splits in public_test.DATASETS
  )
  def test_of_files_as_published(self, name, files, total):
    for path, rows in files.items():
      public_test.write(self.root / 'files' / path, rows)
    self.check(name, self.root / 'files', total)

  @absltest.skipUnless(
    shared_test.FOLDER.is_dir(), f'no data sets at {shared_test.FOLDER}'
  )
  @parameterized.named_parameters(
    (name, name, file, read, *more)
    for name, file, read, *more in shared_test.FILES
  )
  def test_of_the_first_rows_of_real_files(
    self, name, file, read, splits=shared_test.BOTH, rows=shared_test.ROWS
  ):
    del splits  # As shared_test has them.
    path = shared_test.first_rows(self.root / 'files', file, rows)
    self.check(name, path.parent, len(read(path)))

  def test_every_dataset_is_trained_on(self):
    known = {
      one.name
      for one in vars(builders).values()
      if isinstance(one, type) and one is not builders.FeedbackBuilder
    }
    tried = {name for name, *_ in (*public_test.DATASETS, *shared_test.FILES)}
    self.assertEqual(known, tried)


if __name__ == '__main__':
  absltest.main()
