"""Stages whose adapters alone are trained, beside a base that they share."""

import functools
import io
import pathlib
import tempfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from launch import export_weights, import_weights
from rlhf_jax import sandbox
from rlhf_jax.experiment import (
  ExperimentError,
  Pretrained,
  adapters,
  beginning,
  given_models,
  prepare,
  running,
)
from rlhf_jax.experiment.store import PARAMS
from rlhf_jax.methods import dpo, ppo, reward_model, sft
from rlhf_jax.models import LoRA, huggingface, lora
from rlhf_jax.models.huggingface import peft
from rlhf_jax.training import checkpoints
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted, run_by
from tests.experiment import pretrained_test, small
from tests.launch.import_weights_test import run_command

TWO = LoRA(rank=2)
ONE_STEP = {'steps': 1, 'batch_size': 4}
DPO = dpo.stages(dpo.Config(**ONE_STEP), data='comparisons')
REWARD = reward_model.stages(
  reward_model.Config(**ONE_STEP), name='judge', data='comparisons'
)
PPO = ppo.stages(
  ppo.Config(**ONE_STEP, epochs=1, minibatches=1), reward='judge'
)
MORE = sft.stages(sft.Config(**ONE_STEP), name='more', start='dpo')


def with_lora(stages, of=TWO):
  return {name: stage._replace(lora=of) for name, stage in stages.items()}


def leaves(tree):
  return {
    tuple(step.key for step in path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


class LoRAStagesTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.stages = with_lora(DPO | REWARD | PPO) | MORE
    cls.made = small.chain(pathlib.Path(folder), cls.stages)
    for name in ('dpo', 'judge', 'more'):  # PPO's first state is enough.
      running.run_stage(cls.made, name)
    cls.trained = cls.made.trained
    cls.base = small.params('policy')

  def state(self, name):
    """A stage's state before its first step, and what it keeps."""
    optimizer = self.stages[name].config.make_optimizer()
    state = beginning.initial_state(
      self.trained, name, optimizer, jax.random.key(0)
    )
    own = functools.partial(jax.tree.map, jnp.copy, state.params)
    return state, beginning.frozen_params(self.trained, name, own)

  def test_adapters_alone_are_kept_and_the_rest_is_shared(self):
    kept = checkpoints.abstract_params(self.made.folders['dpo'].path / PARAMS)
    self.assertEqual({path[-1] for path in leaves(kept)}, {'a', 'b'})
    params = self.trained.params('dpo', 'policy')
    for path, leaf in leaves(self.base).items():
      self.assertIs(leaves(params)[path], leaf)
    moved = params['layers']['attention']['query_lora']['b']
    self.assertGreater(np.abs(moved).max(), 0.0)

  def test_a_head_is_trained_whole(self):
    kept = checkpoints.abstract_params(self.made.folders['judge'].path / PARAMS)
    self.assertIn('kernel', kept['reward']['head'])
    self.assertNotIn('embedding', kept['reward']['trunk'])

  def test_one_copy_of_the_base_serves_every_role(self):
    # Policy, reference, reward model and critic of one base.
    state, frozen = self.state('ppo')
    whole = training.whole(state.params, frozen)
    of_base = self.base['layers']['mlp']['down']
    for tree in (
      whole['policy'],
      whole['critic']['trunk'],
      frozen['reference'],
      frozen['reward']['trunk'],
    ):
      self.assertIs(tree['layers']['mlp']['down'], of_base)

  def test_the_program_of_an_update_is_given_one_base(self):
    state, frozen = self.state('ppo')

    def norms(state, frozen, *, config):
      del config
      return jax.tree.map(
        lambda x: x.sum(), (training.whole(state.params, frozen), frozen)
      )

    config = self.stages['ppo'].config
    call = jitted(norms)
    size = sum(x.nbytes for x in jax.tree.leaves(self.base))
    own = sum(x.nbytes for x in jax.tree.leaves(state))
    beside = sum(
      x.nbytes
      for path, x in leaves(frozen).items()
      if any(name.endswith(lora.SUFFIX) for name in path) or 'head' in path
    )
    with run_by(
      lambda program, *given, **named: program.lower(*given, **named)
    ):
      given = call(state, frozen, config=config).compile()
    taken = given.memory_analysis().argument_size_in_bytes
    self.assertBetween(taken, size, size + own + beside + 4096)

  def test_a_stage_without_adapters_trains_them_merged(self):
    state, _ = self.state('more')
    merged = lora.merge(self.trained.params('dpo', 'policy'))
    chex.assert_trees_all_close(state.params, {'policy': merged}, atol=1e-6)
    after = self.trained.params('more', 'policy')
    chex.assert_trees_all_equal_shapes(after, self.base)

  def test_adapters_are_trained_on(self):
    stages = self.stages | with_lora(MORE)
    run = small.remade(self.made, stages=small.earlier() | stages)
    given = run.trained.params('dpo', 'policy')
    state = beginning.initial_state(
      run.trained,
      'more',
      MORE['more'].config.make_optimizer(),
      jax.random.key(5),
    )
    trained = training.whole(state.params, run.trained.base('more'))
    chex.assert_trees_all_equal(trained['policy'], given)

  def test_what_starts_afresh_has_nothing_to_adapt(self):
    stages = with_lora(sft.stages(sft.Config(**ONE_STEP), start=None))
    run = small.remade(self.made, stages=stages)
    with self.assertRaisesRegex(
      ExperimentError, r'stages\.sft\.lora: none of .* starts from given'
    ):
      given_models.check_given(run.trained, {})

  def test_another_rank_is_a_sentence(self):
    stages = self.stages | with_lora(MORE, LoRA(rank=3))
    run = small.remade(self.made, stages=small.earlier() | stages)
    with self.assertRaisesRegex(
      ExperimentError, r'stages\.more\.lora: .*rank 2 already'
    ):
      given_models.check_given(run.trained, {})


class FolderTest(absltest.TestCase):
  def test_adapters_leave_and_come_back(self):
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    base = pretrained_test.written(
      root / 'base', small.MODEL, small.params('policy'), sandbox.tokenizer()
    )
    stages = with_lora(
      sft.stages(sft.Config(**ONE_STEP), start=Pretrained(str(base)))
    )
    run = prepare(
      pretrained_test.alone(stages), root / 'stages', console=io.StringIO()
    )
    running.run_stage(run, 'sft')
    params = run.trained.params('sft', 'policy')
    stage = run.folders['sft'].path
    for folder, options in (('whole', ()), ('adapters', ('--adapters',))):
      status, _, wrong = run_command(
        export_weights, stage, root / folder, '--original', base, *options
      )
      self.assertEqual(status, 0, wrong)
    _, whole = huggingface.read(root / 'whole')
    chex.assert_trees_all_close(whole, lora.merge(params), atol=1e-6)
    status, _, wrong = run_command(
      import_weights, root / 'adapters', root / 'again'
    )
    self.assertEqual(status, 0, wrong)
    _, again = huggingface.read(root / 'again')
    chex.assert_trees_all_close(again, whole, atol=1e-6)

    judge = pretrained_test.written(
      root / 'judge', small.MODEL, small.params('reward'), sandbox.tokenizer()
    )
    status, _, wrong = run_command(
      import_weights, root / 'adapters', root / 'judged', '--base', judge
    )
    self.assertEqual(status, 0, wrong)
    _, judged = huggingface.read(root / 'judged')
    moved = lora.merge(
      training.whole(
        peft.read(root / 'adapters', judge)[1],
        {'base': small.params('reward')['trunk']},
      )
    )
    chex.assert_trees_all_close(judged['trunk'], moved, atol=1e-6)

    other = jax.tree.map(lambda x: x + 1.0, small.params('policy'))
    other = pretrained_test.written(
      root / 'other', small.MODEL, other, sandbox.tokenizer()
    )
    status, _, wrong = run_command(
      export_weights, stage, root / 'no', '--original', other
    )
    self.assertEqual(status, 1)
    self.assertIn('were trained on other parameters than those of', wrong)
    self.assertFalse((root / 'no').exists())

  def test_adapters_of_an_earlier_version_are_told_so(self):
    with self.assertRaisesRegex(ExperimentError, 'by an earlier version'):
      adapters.joined({}, 'policy', {'checksums': {}}, pathlib.Path('x'), None)


if __name__ == '__main__':
  absltest.main()
