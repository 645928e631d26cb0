"""How a stage's examples become batches, read off a stage that trained."""

import dataclasses
import pathlib
import tempfile
from unittest import mock

import chex
import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax import sharding
from rlhf_jax.data import orders, packing
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.collation import collate
from rlhf_jax.data.mixtures import Mixture
from rlhf_jax.experiment import running, store
from rlhf_jax.methods import sft
from rlhf_jax.models import language_model
from rlhf_jax.training import metrics
from rlhf_jax.types import Models
from tests.experiment import small


class BatchingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def padding(self, name, *, order=None, **values):
    """The share of padding in an epoch of SFT."""
    config = sft.Config(steps=small.RECORDS // 4, batch_size=4, **values)
    limits = dataclasses.replace(small.LIMITS, buckets=tuple(range(4, 64, 4)))
    run = small.chain(
      self.folder, sft.stages(config, name=name, order=order), limits=limits
    )
    running.run_stage(run, name)
    rows = metrics.read_jsonl(run.folders[name].path / store.METRICS)
    return np.mean([row['padding'] for row in rows])

  def test_batches_of_like_length_have_less_padding(self):
    usual = self.padding('usual')
    ordered = self.padding('ordered', order=orders.of_like_length)
    self.assertLess(ordered, 0.7 * usual)

  def test_rows_of_several_have_that_of_the_last_row_alone(self):
    run = small.chain(self.folder, {})
    examples, _ = run.data.encode(run.data.records('demonstrations'))
    total = sum(example.length for example in examples)
    # Two rows hold all, and four of a batch are these twice.
    self.assertBetween(total, 221, 430)
    found = self.padding('packed', row_length=220)
    self.assertAlmostEqual(found, 1 - total / 440, places=5)

  def test_a_mixture_of_datasets(self):
    config = sft.Config(steps=3, batch_size=4)
    run = small.chain(
      self.folder,
      sft.stages(
        config,
        name='mixed',
        data=('demonstrations', 'strong_demonstrations'),
        mixture=Mixture(weights={'strong_demonstrations': 30.0}),
      ),
    )
    records = run.data.records('demonstrations')
    run = small.holding(run, strong_demonstrations=records[:2])
    seen = []
    make = Batches.indices
    with mock.patch.object(
      Batches,
      'indices',
      lambda self, step: seen.append(make(self, step)) or seen[-1],
    ):
      running.run_stage(run, 'mixed')
    # 30 times 2 to 20: three rows of four, which are number 20 and 21.
    for rows in seen[:3]:
      self.assertEqual((rows >= small.RECORDS).sum(), 3)


class PackedTest(absltest.TestCase):
  def test_the_loss_of_packed_rows_is_that_of_the_examples(self):
    with tempfile.TemporaryDirectory() as folder:
      run = small.chain(pathlib.Path(folder), {})
      examples, _ = run.data.encode(run.data.records('demonstrations'))
    model = language_model(small.MODEL)
    params = {'policy': model.init(jax.random.key(0))}
    packs = packing.pack(examples, 96)
    self.assertLess(len(packs), len(examples) / 2)

    def loss(params, rows):
      batch = collate(rows, pad_id=0, limits=small.LIMITS)
      terms, _ = sft.loss(
        params,
        {},
        batch,
        jax.random.key(0),
        models=Models(policy=model),
        config=sft.Config(steps=1),
      )
      return sum(factor * mean.value for factor, mean in terms.values())

    found = [jax.value_and_grad(loss)(params, x) for x in (examples, packs)]
    chex.assert_trees_all_close(*found, rtol=1e-4, atol=1e-6)


class RowsTest(absltest.TestCase):
  def test_one_process_holds_all_rows_and_places_them_over_the_mesh(self):
    mesh = sharding.make_mesh({'data': 4, 'tensor': 2})
    for size in (8, 6):
      rows = sharding.local_rows(mesh, size)
      np.testing.assert_array_equal(rows, np.arange(size))
      batch = {'x': np.arange(3 * size).reshape(size, 3)}
      placed = sharding.place_rows(batch, size, mesh)
      expected = sharding.place_batch(batch, mesh)
      chex.assert_trees_all_equal(placed, expected)
      self.assertEqual(placed['x'].sharding, expected['x'].sharding)


if __name__ == '__main__':
  absltest.main()
