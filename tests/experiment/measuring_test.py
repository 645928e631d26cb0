"""What reward models and policies are measured on, and what is left out."""

import math
import pathlib
import tempfile
import types

import jax
import numpy as np
from absl.testing import absltest, parameterized
from scipy import special

from rlhf_jax.experiment import (
  ExperimentError,
  dataset_validation,
  measuring,
  measuring_pairs,
  notes,
)
from rlhf_jax.experiment.definition import Evaluation
from rlhf_jax.methods import dpo
from rlhf_jax.types import Comparison, Message, Prompt
from tests.experiment import small


class MeasuringTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    how = Evaluation(prompts='prompts', comparisons='comparisons')
    self.chain = small.dropping(
      small.chain(pathlib.Path(folder.name), {}, evaluation=how)
    )
    self.pairs = list(self.chain.data.records('comparisons'))

  def measured(self, comparisons):
    return measuring.measure_pairs(
      self.chain.data,
      self.chain.models().scorer,
      {'reward': self.chain.trained.params('reward_model', 'reward')},
      comparisons,
      batch_size=8,
    )

  def test_a_reward_model_has_pairs_of_its_own(self):
    run = small.holding(self.chain, others=self.pairs[:7])
    how = Evaluation(
      prompts='prompts', comparisons={'reward_model': 'others'}, batch_size=8
    )
    run = small.remade(run, evaluation=how)
    found = measuring.measure_reward_models(run, {})
    self.assertEqual(list(found), [('reward_model', 'others')])
    counts = [metrics.count for metrics in found.values()]
    self.assertEqual(counts, [self.measured(self.pairs[:7]).count])
    kinds = dataset_validation.check_datasets(
      run.experiment.stages, run.corpus.datasets
    )
    wrong = Evaluation(prompts='prompts', comparisons={'reward_model': 'other'})
    with self.assertRaisesRegex(
      ExperimentError, "evaluation.comparisons is 'o"
    ):
      dataset_validation.check_evaluation(wrong, run.corpus.datasets, kinds)

  def test_pairs_are_held_out_for_a_stage_that_there_is(self):
    how = Evaluation(prompts='prompts', comparisons={'reward': 'comparisons'})
    with self.assertRaisesRegex(ExperimentError, "'reward', and no stage"):
      small.remade(self.chain, evaluation=how)

  def undecided(self):
    """A tie, two responses alike, and three of which the first two tie."""
    tied, same, three = self.pairs[:3]
    said = (*three.responses, three.responses[0])
    return [
      tied._replace(scores=(1.0, 1.0)),
      same._replace(responses=same.responses[:1] * 2, scores=None),
      three._replace(responses=said, scores=(1.0, 1.0, 0.0)),
    ]

  def test_ties_count_neither_way(self):
    rest = self.pairs[3:]
    alone = self.measured(rest)
    turned = [
      [c._replace(responses=c.responses[::order]) for c in self.undecided()]
      for order in (1, -1)
    ]
    for ties in turned:
      both = self.measured(ties + rest)
      self.assertEqual(both.count, len(rest))
      np.testing.assert_allclose(
        [both.accuracy.value, both.log_loss, both.calibration_error],
        [alone.accuracy.value, alone.log_loss, alone.calibration_error],
        rtol=1e-5,
      )

  def test_nothing_but_ties_is_told(self):
    with self.assertRaisesRegex(ExperimentError, 'of 3 comparisons none has'):
      self.measured(self.undecided())

  def test_single_responses_are_refused_before_anything_is_trained(self):
    prompt = Prompt((Message('user', 'q'),), where='f.jsonl:4')
    alone = Comparison(prompt, ('a',), scores=(1.0,))
    message = '^f.jsonl:4: reward models are measured on two responses'
    with self.assertRaisesRegex(ExperimentError, message):
      dataset_validation.check_evaluation(
        self.chain.experiment.evaluation,
        {'prompts': [prompt], 'comparisons': [self.pairs[0], alone]},
        {'prompts': Prompt, 'comparisons': Comparison},
      )
    with self.assertRaisesRegex(ExperimentError, message):
      self.measured([alone])

  def test_what_stages_left_out_of_data_beside_is_told(self):
    facts = {'tied_scores': 1, 'replies_empty_responses': 2, 'steps': 3}
    chain = types.SimpleNamespace(
      experiment=types.SimpleNamespace(
        stages={'ppo': types.SimpleNamespace(extra_data='replies')}
      ),
      folders={'ppo': types.SimpleNamespace(facts=lambda: facts)},
    )
    self.assertEqual(
      notes.left_out(chain),
      ['Cut or left out by ppo: 1 tied score, 2 replies empty responses.'],
    )

  def test_an_alarm_is_told_again(self):
    facts = {'sft': {}, 'uml': {'alarm': 'the views tell nothing'}}
    chain = types.SimpleNamespace(
      experiment=types.SimpleNamespace(stages=facts),
      folders={
        name: types.SimpleNamespace(facts=lambda found=found: found)
        for name, found in facts.items()
      },
    )
    self.assertEqual(
      notes.alarms(chain), ['Warning of uml: the views tell nothing']
    )

  def test_what_is_left_out_is_told(self):
    first, *others = self.chain.data.records('prompts')
    words = first.text.split() * small.LONG
    long = Prompt((Message('user', ' '.join(words)),))
    chain = small.holding(
      self.chain,
      prompts=[long, *others],
      comparisons=self.undecided() + self.pairs[3:],
    )
    prompts, pairs = notes.left_out_of_evaluation(chain)
    self.assertEqual(prompts, 'Cut or left out of prompts: 1 dropped prompt.')
    self.assertRegex(
      pairs,
      'Cut or left out of comparisons: 1 identical response, 2 tied scores.$',
    )


class HeldOutTest(parameterized.TestCase):
  """A DPO policy of known parameters, told on pairs that it never saw."""

  def measured(self, **config):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    how = Evaluation(prompts='prompts', comparisons='comparisons', batch_size=8)
    stages = dpo.stages(dpo.Config(steps=1, **config), data='comparisons')
    run = small.chain(pathlib.Path(folder), stages, evaluation=how)
    run = small.dropping(run)
    key = jax.random.key(7)
    run.loaded['dpo'] = {'policy': run.trained.models().policy.init(key)}
    return run, measuring.measure_preferences(run)['dpo']

  def gaps(self, run):
    """[N, 2] log-ratios of each pair's responses, from whole distributions."""
    model, found = run.trained.models().policy, []
    columns = run.experiment.limits.columns(1)

    @jax.jit
    def logits(params, tokens, mask):
      return model.logits(params, model.hidden(params, tokens, mask))

    pairs = run.data.records('comparisons')
    examples, _ = measuring_pairs.decided(run.data, pairs)
    for example in examples:
      both = []
      for ids in example.response_ids:
        said, total = [*example.prompt_ids, *ids], 0.0
        tokens = np.zeros((1, columns), np.int32)
        tokens[0, : len(said)] = said
        mask = np.arange(columns)[None] < len(said)
        for stage, sign in (('dpo', 1.0), ('sft', -1.0)):
          params = run.loaded[stage]['policy']
          logps = special.log_softmax(
            np.asarray(logits(params, tokens, mask)[0], np.float64), axis=-1
          )
          places = np.arange(len(example.prompt_ids), len(said))
          total += sign * logps[places - 1, tokens[0, places]].sum()
        both.append(total)
      found.append(both)
    return np.array(found)

  def test_loss_accuracy_and_margin_are_by_definition(self):
    run, (loss, pairs) = self.measured()
    chosen, rejected = self.gaps(run).T
    margins = chosen - rejected
    self.assertGreater(len(margins), 8)  # More than a batch, and no multiple.
    self.assertEqual(pairs.count, len(margins))
    self.assertAlmostEqual(pairs.accuracy.value, np.mean(margins > 0))
    np.testing.assert_allclose(pairs.margin_mean, margins.mean(), rtol=1e-3)
    expected = -np.mean(special.log_expit(0.1 * margins))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)

  def test_where_pairs_lack_what_the_objective_reads_there_is_no_loss(self):
    def of_scores(chosen_scores, rejected_scores):
      return rejected_scores - chosen_scores

    run, (loss, pairs) = self.measured(objective=of_scores)
    self.assertTrue(math.isnan(loss))
    chosen, rejected = self.gaps(run).T
    self.assertAlmostEqual(pairs.accuracy.value, np.mean(chosen > rejected))


if __name__ == '__main__':
  absltest.main()
