"""Rows that devices cannot share evenly are refused, with sizes that fit."""

import numpy as np
import pytest

from rlhf_jax.experiment import device_rows
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.methods import ppo, rloo, sft
from tests.experiment import small

FITTING = [
  (sft, sft.Config(steps=1, batch_size=16, micro_batches=2)),
  (ppo, ppo.Config(steps=1, batch_size=32, minibatches=4)),
  # 32 responses in four parts of 8.
  (rloo, rloo.Config(steps=1, batch_size=8, samples=4, minibatches=4)),
]


@pytest.mark.parametrize(('method', 'config'), FITTING)
def test_rows_that_divide_pass(method, config):
  device_rows.check(method.stages(config), 8)


@pytest.mark.parametrize(
  ('method', 'config', 'said'),
  [
    (sft, sft.Config(steps=1, batch_size=12), 'a batch does not divide over 8'),
    (sft, sft.Config(steps=1, batch_size=12), 'make it 8 or 16'),
    (
      sft,
      sft.Config(steps=1, batch_size=8, micro_batches=2),
      'each of its 2 micro-batches does not divide over 8',
    ),
    (sft, sft.Config(steps=1, batch_size=8, micro_batches=2), 'make it 16'),
    (
      ppo,
      ppo.Config(steps=1, batch_size=16, minibatches=4),
      'each of the 4 parts of a round does not divide over 8',
    ),
    (ppo, ppo.Config(steps=1, batch_size=16, minibatches=4), 'make it 32'),
  ],
)
def test_those_that_do_not_are_named_with_what_fits(method, config, said):
  name = method.__name__.rpartition('.')[2]
  with pytest.raises(ExperimentError, match=said) as caught:
    device_rows.check(method.stages(config), 8)
  assert f'stages.{name}.config.batch_size' in str(caught.value)


def test_one_device_shares_anything():
  device_rows.check(sft.stages(sft.Config(steps=1, batch_size=7)), 1)


def test_what_is_ours_to_choose_is_rounded_up(tmp_path):
  run = small.chain(tmp_path, {}, devices=8)
  (records,) = [run.data.records('test_prompts')[:3]]
  examples, _ = run.data.encode_all(records)
  prompts = run.data.prompts(examples, 5, 3)
  assert prompts.tokens.shape[0] == 8
  np.testing.assert_array_equal(prompts.index, np.arange(5, 13))
  assert len({s.device for s in prompts.tokens.addressable_shards}) == 8
  assert prompts.tokens.addressable_shards[0].data.shape[0] == 1
