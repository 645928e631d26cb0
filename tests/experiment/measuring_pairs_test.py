"""Further pairs, people's chances and fitted rewards, beside reward models."""

import dataclasses
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import (
  ExperimentError,
  dataset_validation,
  measuring_pairs,
)
from rlhf_jax.experiment.definition import Evaluation, FittedReward
from rlhf_jax.kernels import ensembles
from rlhf_jax.methods import ppo, reward_model
from rlhf_jax.sandbox import regression
from rlhf_jax.stages import Ensemble
from rlhf_jax.types import Comparison
from tests.experiment import small


def longest(comparisons):
  """A reward of text that learnt how many pairs there were, and no more."""
  return lambda prompts, responses: [
    len(comparisons) + len(text.split()) for text in responses
  ]


def first_two(prompts, responses):
  """The first sample of each prompt against the second."""
  pairs = zip(prompts[::2], responses[::2], responses[1::2], strict=True)
  return [Comparison(prompt, pair) for prompt, *pair in pairs]


def three_to_one(prompts, responses, others):
  return [0.75] * len(prompts)


def scores(run, name, samples):
  """[N] of a policy's samples by a reward model, one batch of them."""
  pairs = list(map(Comparison, samples.prompts, zip(samples.responses)))
  examples, _ = run.data.encode_all(pairs)
  batch = run.data.batch(examples, len(examples))
  params = {'reward': run.trained.params(name, 'reward')}
  return np.asarray(run.trained.scorer(name)(params, batch))[:, 0]


def fitted(**values):
  return {'words': FittedReward(fit=longest, **values)}


class MeasuringPairsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.how = Evaluation(
      prompts='prompts',
      batch_size=8,
      sample_pairs={'as drawn': first_two, 'none': lambda *_: []},
      preferred_by=three_to_one,
      fitted_rewards=fitted(data=('comparisons', 'comparisons')),
    )
    self.run_of = small.chain(
      pathlib.Path(folder.name), {}, evaluation=self.how
    )
    prompts = list(self.run_of.data.records('prompts'))[:3]
    said = ['sure , 8 .', '8 .', 'it is 8 .', 'sure , it is 8 .', '7 .', '8 .']
    self.samples = PolicySamples(
      name='sft',
      prompts=[p for p in prompts for _ in range(2)],
      responses=said,
      lengths=np.arange(1, 7),
      ended=np.ones(6, bool),
      gold=np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
    )

  def test_a_fitted_reward_by_hand(self):
    found = measuring_pairs.measure_reward_models(
      self.run_of, {'sft': self.samples}
    )
    metrics = found['words', 'sft']
    # Margins of 2, −2 and 0 words: one right, one wrong, one tie.
    self.assertEqual((metrics.count, metrics.accuracy.value), (3, 0.5))
    chances = 1 / (1 + np.exp(-np.array([2.0, -2.0, 0.0])))
    brier = np.mean((chances - 0.75) ** 2) + 0.75 * 0.25
    self.assertAlmostEqual(metrics.calibration.brier.value, brier)
    self.assertEqual(list(metrics.further), ['as drawn'])
    self.assertEqual(metrics.further['as drawn'].accuracy.value, 0.5)
    self.assertEqual(metrics.further['as drawn'].count, 3)

  def test_a_reward_model_is_measured_on_the_same(self):
    found = measuring_pairs.measure_reward_models(
      self.run_of, {'sft': self.samples}
    )
    self.assertEqual(list(found), [('reward_model', 'sft'), ('words', 'sft')])
    metrics = found['reward_model', 'sft']
    # Gold prefers the first of each two here, as the pairs as drawn do.
    self.assertEqual(metrics.further['as drawn'].accuracy, metrics.accuracy)
    self.assertGreater(metrics.calibration.brier.value, 0.75 * 0.25)

  def test_an_ensemble_is_measured_as_one(self):
    both = Ensemble(('reward_model', 'other'), ensembles.worst)
    stages = (
      self.run_of.experiment.stages
      | reward_model.stages(
        reward_model.Config(steps=1), data='comparisons', name='other'
      )
      | ppo.stages(ppo.Config(steps=1), reward=both)
    )
    run = small.remade(self.run_of, stages=stages)
    run.loaded['other'] = {'reward': small.params('ranker')}
    rewards = measuring_pairs.measured_rewards(run.experiment)
    self.assertEqual(rewards['reward_model + other'], both)
    found = measuring_pairs.measure_reward_models(run, {'sft': self.samples})
    # Margins of the least of two scores are those of neither.
    margins = [
      found[name, 'sft'].margin_quantiles
      for name in ('reward_model + other', 'reward_model', 'other')
    ]
    self.assertLen(set(margins), 3)
    least = np.minimum(*(scores(run, n, self.samples) for n in both.members))
    gaps = least[::2] - least[1::2]
    mean = found['reward_model + other', 'sft'].margin_mean
    self.assertAlmostEqual(mean, gaps.mean(), places=5)

  def test_without_gold_there_are_held_out_pairs_alone(self):
    how = Evaluation(
      prompts='prompts',
      comparisons={'words': 'comparisons'},
      fitted_rewards=fitted(data='comparisons'),
    )
    run = small.remade(self.run_of, evaluation=how)
    found = measuring_pairs.measure_reward_models(run, {})
    self.assertEqual(list(found), [('words', 'comparisons')])
    self.assertEqual(found['words', 'comparisons'].count, small.RECORDS)
    self.assertIsNone(found['words', 'comparisons'].calibration)
    self.assertEqual(found['words', 'comparisons'].further, {})

  def test_what_a_reward_is_fitted_on_has_to_be_there(self):
    run, corpus = self.run_of, self.run_of.corpus
    kinds = dataset_validation.check_datasets(
      run.experiment.stages, corpus.datasets
    )
    for data, message in (
      ('preference', r"words is fitted on 'preference', and there is no such"),
      (('comparisons', 'prompts'), "on 'prompts', which holds records of the"),
    ):
      how = Evaluation(prompts='prompts', fitted_rewards=fitted(data=data))
      with self.assertRaisesRegex(ExperimentError, message):
        dataset_validation.check_evaluation(how, corpus.datasets, kinds)

  def test_a_fitted_reward_is_no_stage(self):
    how = Evaluation(
      prompts='prompts', fitted_rewards={'sft': FittedReward(fit=longest)}
    )
    with self.assertRaisesRegex(ExperimentError, "has 'sft', which is a stage"):
      small.remade(self.run_of, evaluation=how)

  def test_the_sandbox_has_all_of_them(self):
    how = Evaluation(
      prompts='prompts',
      sample_pairs={'minimal': sandbox.minimal_pairs},
      preferred_by=sandbox.Annotator().chances,
      fitted_rewards={
        'ceiling': FittedReward(fit=regression.fit, data='comparisons')
      },
    )
    run = small.remade(self.run_of, evaluation=how)
    question = sandbox.read(self.samples.prompts[0]).question
    said = [f'it is {question.answer} .', *self.samples.responses[1:]]
    samples = dataclasses.replace(self.samples, responses=said)
    found = measuring_pairs.measure_reward_models(run, {'sft': samples})
    minimal = found['ceiling', 'sft'].further['minimal']
    self.assertGreaterEqual(minimal.count, 1)
    self.assertBetween(
      found['ceiling', 'sft'].calibration.brier.value, 0.0, 1.0
    )


if __name__ == '__main__':
  absltest.main()
