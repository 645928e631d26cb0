"""What a stage trains and what it keeps: what is drawn, read and held of it."""

import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.experiment import beginning
from rlhf_jax.experiment.store import PARAMS
from rlhf_jax.methods import dpo, ppo
from rlhf_jax.models import LoRA, language_model
from rlhf_jax.stages import Fresh
from rlhf_jax.training import checkpoints
from tests.experiment import small

STEP = {'steps': 1, 'batch_size': 8}
PPO = ppo.stages(ppo.Config(**STEP))
DPO = dpo.stages(dpo.Config(**STEP), data='comparisons')
BFLOAT16 = dataclasses.replace(small.MODEL, compute_dtype='bfloat16')


def no_draw(*given):
  del given
  raise AssertionError('something is drawn')


def live_bytes():
  return sum(x.nbytes for x in jax.live_arrays())


class BeginningTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))

  def chain(self, stages, **changes):
    return small.chain(self.root, stages, **changes)

  def saved(self, run, name, params):
    """The stage as if it had trained these."""
    checkpoints.save_params(run.folders[name].path / PARAMS, params)

  def state(self, run, name):
    optimizer = run.experiment.stages[name].config.make_optimizer()
    return beginning.initial_state(
      run.trained, name, optimizer, jax.random.key(3)
    )

  def test_a_state_is_restored_into_shapes_with_their_shards(self):
    run = self.chain(PPO, devices=4)
    state = self.state(run, 'ppo')
    folder = self.root / 'checkpoints'
    with checkpoints.Checkpoints(folder, meta={}) as saved:
      self.assertIsNone(saved.restore(state))
      saved.save(state)
    run.loaded.clear()  # Whoever reads what it started from finds nothing.
    optimizer = PPO['ppo'].config.make_optimizer()
    before = live_bytes()
    shapes = beginning.state_shapes(run.trained, 'ppo', optimizer)
    self.assertLess(live_bytes() - before, 100)  # A key.
    with checkpoints.Checkpoints(folder, meta={}) as saved:
      found = saved.restore(shapes)
    chex.assert_trees_all_equal(found, state)
    for leaf, like in zip(*map(jax.tree.leaves, (found, state)), strict=True):
      self.assertTrue(leaf.sharding.is_equivalent_to(like.sharding, leaf.ndim))

  def test_what_is_drawn_again_is_what_was_drawn(self):
    stages = dpo.stages(
      dpo.Config(**STEP), data='comparisons', start=Fresh(small.MODEL)
    )
    run = self.chain(stages)
    state = self.state(run, 'dpo')
    again = functools.partial(
      beginning.initial_params, run.trained, 'dpo', jax.random.key(3)
    )
    frozen = beginning.frozen_params(run.trained, 'dpo', again)
    chex.assert_trees_all_equal(frozen['reference'], state.params['policy'])
    self.assertEmpty(
      beginning.frozen_params(run.trained, 'dpo', no_draw, {'reference'})
    )

  def test_of_a_stage_one_role_is_read(self):
    run = self.chain(PPO)
    params = {
      'policy': small.params('policy'),
      'critic': small.params('reward'),
    }
    self.saved(run, 'ppo', params)
    read = []
    load = checkpoints.load_params

    def noted(folder, like):
      read.extend(like)
      return load(folder, like)

    with mock.patch.object(checkpoints, 'load_params', noted):
      found = run.trained.params('ppo', 'reference')
      self.assertEqual(read, ['policy'])
      chex.assert_trees_all_equal(found, params['policy'])
      critic = run.trained.params('ppo', 'critic')
      self.assertEqual(read, ['policy', 'critic'])
      chex.assert_trees_all_equal(critic, params['critic'])
      run.trained.params('ppo', 'policy')
      self.assertLen(read, 2)

  def test_what_is_only_computed_with_is_held_in_bfloat16(self):
    run = self.chain(PPO, model=BFLOAT16)
    self.saved(run, 'sft', {'policy': small.params('policy')})
    of_arrays = run.trained.frozen(PPO['ppo'])
    run.loaded.pop('sft')
    run.loaded.pop('sft, as computed')
    frozen = run.trained.frozen(PPO['ppo'])  # The reference from the disk.
    chex.assert_trees_all_equal(frozen, of_arrays)
    self.assertNotIn('sft', run.loaded)  # Nor is it there in float32.
    reference, reward = frozen['reference'], frozen['reward']
    for tree in (reference, reward['trunk']):
      self.assertEqual(tree['embedding'].dtype, jnp.bfloat16)
      self.assertEqual(tree['layers']['mlp']['down'].dtype, jnp.bfloat16)
      self.assertEqual(tree['final_norm']['scale'].dtype, jnp.float32)
    self.assertEqual(reward['head']['kernel'].dtype, jnp.float32)
    # Half the bytes, but for norms and heads, and the very numbers.
    held = sum(x.nbytes for x in jax.tree.leaves(reference))
    whole = sum(x.nbytes for x in jax.tree.leaves(small.params('policy')))
    self.assertAlmostEqual(held / whole, 0.5, delta=0.02)
    hidden = jax.jit(language_model(BFLOAT16).hidden)
    tokens = np.arange(12).reshape(2, 6)
    mask = np.ones(tokens.shape, bool)
    np.testing.assert_array_equal(
      np.asarray(hidden(reference, tokens, mask), np.float32),
      np.asarray(hidden(small.params('policy'), tokens, mask), np.float32),
    )

  def test_what_is_trained_starts_in_its_own_type(self):
    run = self.chain(PPO, model=BFLOAT16)
    run.trained.frozen(PPO['ppo'])
    start = run.trained.start('ppo')
    self.assertEqual(start['policy']['embedding'].dtype, jnp.float32)

  def test_beside_adapters_the_base_is_held_once(self):
    stages = {n: s._replace(lora=LoRA(rank=2)) for n, s in DPO.items()}
    run = self.chain(stages, model=BFLOAT16)
    frozen = beginning.frozen_params(run.trained, 'dpo', no_draw)
    self.assertIs(
      frozen['reference']['embedding'], frozen['base']['policy']['embedding']
    )


if __name__ == '__main__':
  absltest.main()
