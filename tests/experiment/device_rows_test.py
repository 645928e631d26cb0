"""Rows that devices cannot share are refused, with sizes that they can."""

import pathlib
import sys
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.experiment import device_rows
from rlhf_jax.methods import dapo, ppo, raft, remax, rloo, sft
from rlhf_jax.methods.rlp import retraining
from rlhf_jax.training.optimizers import Adam
from tests.experiment import small


def ppo_stage(**values):
  (stage,) = ppo.stages(ppo.Config(steps=1, **values)).values()
  return stage


def mesh(devices, **sizes):
  return {'data': 1, 'fsdp': devices, 'tensor': 1} | sizes


def check(name, stage, sizes, kv_heads=192):
  device_rows.check(name, stage, sizes, kv_heads=kv_heads)


class RowsTest(parameterized.TestCase):
  def test_of_examples_each_micro_batch_is_shared(self):
    optimizer = Adam(learning_rate=1e-3)
    config = sft.Config(
      steps=1, batch_size=96, micro_batches=2, optimizer=optimizer
    )
    (stage,) = sft.stages(config).values()
    check('sft', stage, mesh(48))
    check('sft', stage, mesh(1))
    # 96 / 2 = 48 rows do not divide by 32; 64 / 2 and 128 / 2 do.
    with self.assertRaisesRegex(
      device_rows.RowsError,
      r'batch_size is 96 \(micro_batches 2\).* to 64 or 128',
    ):
      check('sft', stage, mesh(32))

  @parameterized.parameters(
    # 2 minibatches of 64 / 2 responses each.
    ({'batch_size': 64}, 32, None),
    ({'batch_size': 64}, 64, '128'),
    ({'batch_size': 128, 'micro_batches': 2}, 64, '256'),
    ({'batch_size': 320}, 64, '256 or 384'),
  )
  def test_of_rounds_each_minibatch_is_shared(self, values, devices, sizes):
    stage = ppo_stage(**values)
    if sizes is None:
      check('ppo', stage, mesh(devices))
      return
    with self.assertRaisesRegex(
      device_rows.RowsError,
      # Half of the devices share them evenly, each time.
      f'stages.ppo.config.batch_size is .* to {sizes}, '
      'or mesh.fsdp to 32 and mesh.tensor to 2$',
    ):
      check('ppo', stage, mesh(devices))

  @parameterized.parameters(
    # All devices are on `data`, as where no mesh is set.
    (
      {'data': 16, 'fsdp': 1, 'tensor': 1},
      'mesh.data to 8 and mesh.tensor to 2',
    ),
    (
      {'data': 2, 'fsdp': 8, 'tensor': 1},
      'mesh.fsdp to 4 and mesh.tensor to 2',
    ),
    (
      {'data': 2, 'fsdp': 8, 'tensor': 4},
      'mesh.fsdp to 4 and mesh.tensor to 8',
    ),
    # Of 12 devices those that divide 8 are 4 at most.
    (
      {'data': 12, 'fsdp': 1, 'tensor': 1},
      'mesh.data to 4 and mesh.tensor to 3',
    ),
    (
      {'data': 3, 'fsdp': 4, 'tensor': 1},
      'mesh.data to 1 and mesh.tensor to 3',
    ),
  )
  def test_a_mesh_that_shares_them_is_named(self, sizes, words):
    config = sft.Config(steps=1, batch_size=8)
    (stage,) = sft.stages(config).values()
    with self.assertRaisesRegex(device_rows.RowsError, f', or {words}$'):
      check('sft', stage, sizes)

  @parameterized.parameters(
    (8, ', or mesh.fsdp to 8 and mesh.tensor to 8'), (4, '')
  )
  def test_heads_divide_over_the_mesh_that_is_named(self, heads, words):
    config = sft.Config(steps=1, batch_size=8)
    (stage,) = sft.stages(config).values()
    with self.assertRaisesRegex(
      device_rows.RowsError, f'batch_size to 64{words}$'
    ):
      check('sft', stage, mesh(64), kv_heads=heads)

  def test_of_rows_that_no_mesh_shares_none_is_named(self):
    config = retraining.Config(
      steps=1,
      batch_size=8,
      micro_batches=2,
      extra_batch_size=9,
      representation=lambda mask: 0.0,
    )
    (stage,) = retraining.stages(config).values()
    with self.assertRaisesRegex(
      device_rows.RowsError, r'extra_batch_size is 9 \(micro.* to 8 or 16$'
    ):
      check('reward', stage, mesh(4))

  @parameterized.named_parameters(
    # 64 responses are 2 for each of 32 devices, and none for half of 128.
    ('of 16 prompts', rloo.Config(steps=1, batch_size=16, samples=4), 32, None),
    (
      'too few',
      rloo.Config(steps=1, batch_size=16, samples=4),
      128,
      r'rloo.config.batch_size is 16 \(4 responses each\).* to 32, or',
    ),
    # 3 shares no factor with 32.
    (
      'of an odd number each',
      rloo.Config(steps=1, batch_size=16, samples=3),
      32,
      'to 32, or',
    ),
    # The greedy responses are one of each prompt, sampled alone.
    (
      'one of which is greedy',
      remax.Config(steps=1, batch_size=16, samples=4),
      32,
      'to 32, or',
    ),
    # All 256 are sampled; the best of each prompt, 16 in all, are learnt from.
    (
      'of which the best is kept',
      raft.Config(steps=1, batch_size=16, samples=16, minibatches=1),
      32,
      'to 32, or',
    ),
    (
      'in minibatches of those kept',
      raft.Config(steps=1, batch_size=64, samples=16, minibatches=4),
      16,
      None,
    ),
    # It samples and learns from 8 prompts at a time, whatever it may ask.
    (
      'of groups',
      dapo.Config(steps=1, batch_size=64, groups=8, samples=4, minibatches=1),
      64,
      r'dapo.config.groups is 8 \(4 responses each\).* to 16, or',
    ),
  )
  def test_of_prompts_the_responses_are_shared(self, config, devices, words):
    method = sys.modules[type(config).__module__]
    (name, stage) = method.stages(config).popitem()
    if words is None:
      check(name, stage, mesh(devices))
      return
    with self.assertRaisesRegex(device_rows.RowsError, words):
      check(name, stage, mesh(devices))

  def test_what_is_ours_to_choose_is_rounded_up(self):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    run = small.chain(pathlib.Path(folder), {}, devices=8)
    asked = run.data.records('test_prompts')[:3]
    examples, _ = run.data.encode_all(asked)
    prompts = run.data.prompts(examples, 5, 3)
    self.assertEqual(prompts.tokens.shape[0], 8)
    np.testing.assert_array_equal(prompts.index, np.arange(5, 13))
    shards = prompts.tokens.addressable_shards
    self.assertEqual({shard.data.shape[0] for shard in shards}, {1})
    self.assertLen({shard.device for shard in shards}, 8)


if __name__ == '__main__':
  absltest.main()
