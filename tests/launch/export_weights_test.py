"""Taking away what a stage trained."""

import dataclasses

import chex
import jax
from absl.testing import absltest

from launch import export_weights
from rlhf_jax.data import tokens
from rlhf_jax.experiment import store
from rlhf_jax.models import huggingface, scalar_model
from rlhf_jax.training import checkpoints
from tests.launch.import_weights_test import (
  CommandCase,
  run_command,
  tokenizer,
)
from tests.models.huggingface_folders import config, drawn, made


class ExportTest(CommandCase):
  def export(self, *arguments):
    status, said, wrong = run_command(export_weights, *arguments)
    self.assertEqual(status, 0, wrong)
    return said

  def test_a_policy_of_a_stage(self):
    source = made(self.scratch / 'model')
    own, params = huggingface.read(source)
    trained = jax.tree.map(lambda x: x + 1.0, params)
    stage = self.scratch / 'stage'
    checkpoints.save_params(stage / 'params', {'policy': trained})
    self.export(stage, self.out, '--original', source)
    found, read = huggingface.read(self.out)
    self.assertEqual(found, own)
    chex.assert_trees_all_equal(read, trained)

  def test_a_reward_model_names_its_padding(self):
    source = self.scratch / 'model'
    spare = tokenizer(self.scratch / 'tokenizer')
    own = dataclasses.replace(config('llama'), vocab_size=spare.vocab_size)
    huggingface.write(source, own, drawn(own))
    spare.save(source)
    params = scalar_model(own).init(jax.random.key(0))
    both = {'reward': params, 'policy': drawn(own)}
    checkpoints.save_params(self.scratch / 'params', both)
    status, _, wrong = run_command(
      export_weights, self.scratch / 'params', self.out, '--original', source
    )
    self.assertEqual(status, 1)
    self.assertIn('say which of them with --role', wrong)
    said = self.export(
      self.scratch / 'params',
      self.out,
      '--original',
      source,
      '--role',
      'reward',
    )
    self.assertIn('a reward model', said)
    chex.assert_trees_all_equal(huggingface.read(self.out)[1], params)
    config_json = (self.out / 'config.json').read_text()
    self.assertIn(f'"pad_token_id": {spare.pad_id}', config_json)
    self.assertEqual(tokens.load(self.out).eos_id, spare.eos_id)

  def test_a_reward_of_the_first_layers(self):
    source = made(self.scratch / 'model')
    own = config('llama').first(1)
    params = scalar_model(own).init(jax.random.key(0))
    checkpoints.save_params(self.scratch / 'params', {'reward': params})
    self.export(self.scratch / 'params', self.out, '--original', source)
    found, read = huggingface.read(self.out)
    self.assertEqual(found, own)
    chex.assert_trees_all_equal(read, params)

  def test_a_head_that_reads_other_tokens_is_refused(self):
    source = made(self.scratch / 'model')
    stage = self.scratch / 'stage'
    said = self.scratch / store.READING
    said.write_text('"rlhf_jax.models.heads.mean_of_tokens"')
    params = {'reward': scalar_model(config('llama')).init(jax.random.key(0))}
    checkpoints.save_params(stage / 'params', params, also=[said])
    status, _, wrong = run_command(
      export_weights, stage, self.out, '--original', source
    )
    self.assertEqual(status, 1)
    self.assertIn('reads rlhf_jax.models.heads.mean_of_tokens, and', wrong)
    self.assertIn('the last token alone; export one', wrong)
    self.assertFalse(self.out.exists())

  def test_what_is_no_stage_is_said_and_nothing_is_to_be_deleted(self):
    source = made(self.scratch / 'model')
    for stage in (self.scratch / 'none', source):
      status, _, wrong = run_command(
        export_weights, stage, self.out, '--original', source
      )
      self.assertEqual(status, 1)
      self.assertIn(f'{stage} holds no trained parameters; name', wrong)
      self.assertNotIn('delete', wrong)
    self.assertFalse(self.out.exists())


if __name__ == '__main__':
  absltest.main()
