"""Models from folders of transformers in the roles of a stage."""

import dataclasses
import io
import json
import pathlib
import shutil
import tempfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax import experiment as experiments
from rlhf_jax import sandbox
from rlhf_jax.data import tokens
from rlhf_jax.experiment import (
  Evaluation,
  Experiment,
  ExperimentError,
  Fresh,
  PolicyVariant,
  Pretrained,
  PretrainedReward,
  answering,
  answers,
  beginning,
  reference_logps,
  running,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.experiment.definition import policy_variants
from rlhf_jax.methods import dpo, ppo, ranker, rloo, sft
from rlhf_jax.models import huggingface, language_model, scalar_model
from rlhf_jax.models.config import Norm
from rlhf_jax.training import checkpoints
from rlhf_jax.types import Message, Prompt, Response
from tests.experiment import small

PPO = ppo.Config(steps=1, batch_size=4, epochs=1, minibatches=1)
RLOO = rloo.Config(steps=1, batch_size=4, samples=2)
# Neither is of the experiment's size.
POLICY = dataclasses.replace(small.MODEL, layers=2)
REWARD = dataclasses.replace(small.MODEL, width=8)


def written(folder, config, params, tokenizer):
  huggingface.write(folder, config, params)
  tokenizer.save(folder)
  return folder


def words(prompts, responses):
  del prompts
  return [len(text.split()) for text in responses]


def alone(stages, **changes):
  """An experiment of a single stage, which its policy is measured against."""
  name = list(stages)[-1]
  settings = {
    'seed': 0,
    'data': small.WORLD,
    'model': small.MODEL,
    'limits': small.LIMITS,
    'evaluation': Evaluation(count=2, samples=1, batch_size=4, against=name),
  }
  return Experiment(stages=stages, **(settings | changes))


class PretrainedTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    key = jax.random.key(3)
    cls.params = language_model(POLICY).init(key)
    cls.policy = written(
      cls.root / 'policy', POLICY, cls.params, sandbox.tokenizer()
    )
    # A reward model that reads bytes, not words.
    cls.tokenizer = tokens.train_bpe(['it is 7 .'], vocab_size=270)
    cls.config = dataclasses.replace(
      REWARD, vocab_size=cls.tokenizer.vocab_size
    )
    cls.reward_params = scalar_model(cls.config).init(key)
    cls.reward = written(
      cls.root / 'judge', cls.config, cls.reward_params, cls.tokenizer
    )

  def prepared(self, experiment):
    return experiments.prepare(
      experiment, self.root / 'stages', console=io.StringIO()
    )

  def test_a_policy_of_its_own_size(self):
    stages = sft.stages(sft.Config(steps=1), start=Pretrained(str(self.policy)))
    run = self.prepared(alone(stages))
    config = run.experiment.stages['sft'].config
    state = beginning.initial_state(
      run.trained, 'sft', config.make_optimizer(), jax.random.key(0)
    )
    chex.assert_trees_all_equal(state.params, {'policy': self.params})
    running.run_stage(run, 'sft')
    trained = run.trained.params('sft', 'policy')
    chex.assert_trees_all_equal_shapes(trained, self.params)

  def test_the_same_weights_in_another_model_have_other_log_probs(self):
    other = written(
      self.root / 'other_norm',
      dataclasses.replace(POLICY, norm=Norm(epsilon=1e-2)),
      self.params,
      sandbox.tokenizer(),
    )
    kept = []
    for folder in (self.policy, other):
      stages = dpo.stages(
        dpo.Config(steps=1), data='comparisons', start=str(folder)
      )
      run = self.prepared(alone(stages))
      kept.append(reference_logps.file(run, 'dpo'))
    self.assertNotEqual(*kept)

  def test_a_path_is_one_too(self):
    experiment = alone(sft.stages(sft.Config(steps=1), start=None))
    given = alone(sft.stages(sft.Config(steps=1), start=str(self.policy)))
    said = alone(
      sft.stages(sft.Config(steps=1), start=Pretrained(str(self.policy)))
    )
    self.assertEqual(stage_addresses(given), stage_addresses(said))
    self.assertNotEqual(stage_addresses(given), stage_addresses(experiment))

  def test_a_reward_model_reads_text_its_own_way(self):
    reward = PretrainedReward(self.reward)
    said, asked = ['it is 7 .', 'no', ''], ['what is it ?', 'is it 7 ?', 'é']
    prompts = [Prompt((Message('user', text),)) for text in asked]
    found = reward(prompts, said)
    model, encode = scalar_model(self.config), self.tokenizer.encode
    for question, text, score in zip(asked, said, found, strict=True):
      ids = encode(f'\n\nHuman:\n{question}\n\nAssistant:\n') + encode(text)
      ids = jnp.array([[*ids, self.tokenizer.eos_id]])
      expected = model.scores(self.reward_params, ids, jnp.ones_like(ids, bool))
      np.testing.assert_allclose(score, expected[0, 0], rtol=1e-5)

  def test_sampled_ids_are_the_policy_s_and_the_text_counts(self):
    reward = PretrainedReward(self.reward)
    prompt = Prompt((Message('user', 'what ?'),))
    sampled = Response('it is 7 .', ids=(5, 6, 7))
    cut = Response('it is 7 .', ended=False)
    plain, same, open_end = reward([prompt] * 3, ['it is 7 .', sampled, cut])
    self.assertEqual(plain, same)
    self.assertNotEqual(plain, open_end)

  def test_a_classifier_of_several_labels_is_no_reward_model(self):
    params = scalar_model(self.config).init(jax.random.key(0), scores=2)
    folder = written(self.root / 'labels', self.config, params, self.tokenizer)
    with self.assertRaisesRegex(ExperimentError, 'labels gives 2 scores a re'):
      PretrainedReward(folder)([], [])

  def test_each_role_is_read_by_its_own_model(self):
    narrow = dataclasses.replace(small.MODEL, width=8, head_width=4)
    stages = (
      sft.stages(sft.Config(steps=1))
      | ranker.stages(
        ranker.Config(steps=1), data='comparisons', start=Fresh(narrow)
      )
      | ranker.stages(
        ranker.Config(steps=1),
        data='comparisons',
        start={'ranker': 'ranker'},
        name='on',
      )
      | rloo.stages(RLOO, start=Pretrained(str(self.policy)), reward=words)
    )
    how = Evaluation(count=2, samples=1, batch_size=4)
    run = self.prepared(alone(stages, evaluation=how))
    self.assertIs(run.trained.models('on').reward, scalar_model(narrow))
    self.assertIs(run.trained.models('sft').reward, scalar_model(small.MODEL))
    for name in ('sft', 'rloo'):
      running.run_stage(run, name)
    # Its KL is against a policy of another size.
    model = run.trained.models('sft').policy
    answered = answering.sample(run, 'rloo')
    self.assertTrue(np.isfinite(answered.kl).all())
    self.assertIsNot(model, run.trained.models('rloo').policy)

  def test_a_reference_of_another_size_is_refused(self):
    stages = rloo.stages(RLOO, start=Pretrained(str(self.policy)), reward=words)
    stages['rloo'].frozen['reference'] = 'sft'
    stages = sft.stages(sft.Config(steps=1)) | stages
    with self.assertRaisesRegex(
      ExperimentError, "'rloo' trains another model than its reference sft is"
    ):
      self.prepared(alone(stages, evaluation=Evaluation()))

  def test_scores_a_policy_of_another_tokenizer(self):
    stages = rloo.stages(
      RLOO, start=Pretrained(str(self.policy)), reward=str(self.reward)
    )
    experiment = alone(stages)
    results = experiments.run(
      experiment,
      self.root / 'out',
      stages_dir=self.root / 'stages',
      console=io.StringIO(),
    )
    run = self.prepared(experiment)
    answered = answers.answer(run, 'rloo')
    self.assertEqual(answered.scored_by, 'judge')
    np.testing.assert_allclose(
      answered.score,
      PretrainedReward(self.reward)(answered.prompts, answered.responses),
      rtol=1e-4,
    )
    self.assertIn('judge', results.table)
    config = json.loads((run.folders['rloo'].path / 'config.json').read_text())
    self.assertEqual(config['frozen']['reward']['folder'], str(self.reward))

  def test_a_reward_s_folder_may_move(self):
    copy = self.root / 'moved'
    shutil.copytree(self.reward, copy)
    first, moved = (
      alone(rloo.stages(RLOO, start=None, reward=str(folder)))
      for folder in (self.reward, copy)
    )
    self.assertEqual(stage_addresses(first), stage_addresses(moved))

  def test_a_critic_of_another_size(self):
    critic = dataclasses.replace(small.MODEL, width=8, head_width=4)
    start = {'policy': str(self.policy), 'critic': Fresh(critic)}
    stages = ppo.stages(PPO, start=start, reward=str(self.reward))
    self.assertEqual(stages['ppo'].frozen['reference'], str(self.policy))
    run = self.prepared(alone(stages))
    running.run_stage(run, 'ppo')
    like = run.trained.abstract_params('ppo')
    chex.assert_trees_all_equal_shapes(
      like['critic'],
      jax.eval_shape(scalar_model(critic).init, jax.random.key(0)),
    )
    chex.assert_trees_all_equal_shapes(like['policy'], self.params)
    found = checkpoints.load_params(run.folders['ppo'].path / 'params', like)
    self.assertEqual(set(found), {'policy', 'critic'})
    other = dict(stages)
    start = start | {'critic': Fresh(dataclasses.replace(critic, layers=2))}
    other['ppo'] = stages['ppo']._replace(start=start)
    self.assertNotEqual(
      stage_addresses(alone(stages)), stage_addresses(alone(other))
    )

  def test_a_policy_that_reads_other_ids_is_refused(self):
    config = dataclasses.replace(POLICY, vocab_size=self.tokenizer.vocab_size)
    folder = written(
      self.root / 'other',
      config,
      language_model(config).init(jax.random.key(0)),
      self.tokenizer,
    )
    stages = sft.stages(sft.Config(steps=1), start=Pretrained(str(folder)))
    with self.assertRaisesRegex(
      ExperimentError,
      "'sft' takes its policy from .*other, which has another tokenizer than",
    ):
      self.prepared(alone(stages))

  def test_a_folder_is_measured_as_it_is(self):
    folder = Pretrained(str(self.policy))
    given = PolicyVariant(policy=folder)
    stages = rloo.stages(RLOO, start=folder, reward=str(self.reward))
    experiment = alone(
      stages,
      variants={'start': given},
      evaluation=Evaluation(count=2, samples=1, batch_size=4, against='start'),
    )
    run = self.prepared(experiment)
    answered = answers.answer(run, 'start')
    np.testing.assert_array_equal(answered.kl, np.zeros(2))
    self.assertEqual(answered.scored_by, 'judge')
    # As a stage answers that has the parameters of the folder.
    running.run_stage(run, 'rloo')
    run.loaded['rloo'] = {'policy': self.params}
    same = answering.sample(run, 'rloo')
    self.assertEqual(answered.responses, same.responses)
    np.testing.assert_array_equal(answered.score, same.score)
    self.assertEqual([*policy_variants(experiment)], ['start', 'rloo'])

  def test_a_folder_that_is_measured_has_the_tokenizer_of_the_data(self):
    stages = sft.stages(sft.Config(steps=1), start=None)
    given = {'judge': PolicyVariant(policy=Pretrained(str(self.reward)))}
    with self.assertRaisesRegex(
      ExperimentError, "'judge' takes its policy from .*another tokenizer than"
    ):
      self.prepared(alone(stages, variants=given))

  def test_a_language_model_is_no_reward_model(self):
    stages = rloo.stages(RLOO, start=None, reward=str(self.policy))
    with self.assertRaisesRegex(ExperimentError, 'policy holds a language mod'):
      self.prepared(alone(stages))


if __name__ == '__main__':
  absltest.main()
