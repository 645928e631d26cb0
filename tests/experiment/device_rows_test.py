"""Rows that devices cannot share are refused, with sizes that they can."""

import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.experiment import device_rows
from rlhf_jax.methods import ppo, rloo, sft
from rlhf_jax.training.optimizers import Adam
from tests.experiment import small


def ppo_stage(**values):
  (stage,) = ppo.stages(ppo.Config(steps=1, **values)).values()
  return stage


class RowsTest(parameterized.TestCase):
  def test_of_examples_each_micro_batch_is_shared(self):
    optimizer = Adam(learning_rate=1e-3)
    config = sft.Config(
      steps=1, batch_size=96, micro_batches=2, optimizer=optimizer
    )
    (stage,) = sft.stages(config).values()
    device_rows.check('sft', stage, 48)
    device_rows.check('sft', stage, 1)
    # 96 / 2 = 48 rows do not divide by 32; 64 / 2 and 128 / 2 do.
    with self.assertRaisesRegex(
      device_rows.RowsError,
      r'batch_size is 96 \(micro_batches 2\).* to 64 or 128',
    ):
      device_rows.check('sft', stage, 32)

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
      device_rows.check('ppo', stage, devices)
      return
    with self.assertRaisesRegex(
      device_rows.RowsError,
      f'stages.ppo.config.batch_size is .* to {sizes}, or mesh.fsdp lower',
    ):
      device_rows.check('ppo', stage, devices)

  def test_responses_of_a_prompt_count_but_prompts_are_shared_too(self):
    config = rloo.Config(steps=1, batch_size=16, samples=4)
    (stage,) = rloo.stages(config).values()
    device_rows.check('rloo', stage, 16)
    # 64 responses would divide by 32; 16 prompts, which are sampled, do not.
    with self.assertRaisesRegex(device_rows.RowsError, 'to 32, or'):
      device_rows.check('rloo', stage, 32)

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
