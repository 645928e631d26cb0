"""What a reward is read from: the last token, all of them, or a policy."""

import dataclasses
import functools
import math
import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax.experiment import (
  Ensemble,
  Evaluation,
  ExperimentError,
  ImplicitReward,
  PolicyVariant,
  answering,
  answers,
  kept_features,
  measuring,
  running,
  store,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import ensembles
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import best_of_n, dpo, ppo, reward_head, reward_model, rlp
from rlhf_jax.models import last_token, mean_of_tokens
from rlhf_jax.training.metrics import read_jsonl
from tests.experiment import small

BETA = 0.3
IMPLICIT = ImplicitReward(policy='reward_dpo', reference='sft', beta=BETA)
DPO = dpo.stages(
  dpo.Config(steps=1, objective=functools.partial(pairwise.dpo, beta=BETA)),
  data='comparisons',
  name='reward_dpo',
)
MEAN = reward_model.stages(
  reward_model.Config(steps=1),
  data='comparisons',
  name='reward_mean',
  reading=mean_of_tokens,
)
BEST = best_of_n.stages(
  best_of_n.Config(samples=2, batch_size=4, count=4),
  name='made',
  reward=IMPLICIT,
)
PPO = ppo.Config(steps=1, batch_size=4, epochs=1, minibatches=1)
HOW = Evaluation(count=3, batch_size=4, comparisons='comparisons', held_out=8)


def chain(folder, stages, **changes):
  """A chain with a policy 'reward_dpo' and a reward model 'reward_mean'."""
  run = small.chain(
    pathlib.Path(folder), DPO | MEAN | stages, **{'evaluation': HOW} | changes
  )
  model = run.models().policy
  run.loaded['reward_dpo'] = {'policy': model.init(jax.random.key(7))}
  run.loaded['reward_mean'] = {'reward': small.params('reward')}
  return run


@functools.partial(jax.jit, static_argnums=0)
def logits_of(model, params, ids, mask):
  return model.logits(params, model.hidden(params, ids, mask))


def one_row(prompt_ids, response_ids):
  """[1, T] ids and mask of a prompt and a response, as long as any may be."""
  said = [*prompt_ids, *response_ids]
  ids = np.zeros((1, small.LIMITS.columns(1)), np.int32)
  ids[0, : len(said)] = said
  return ids, np.arange(ids.shape[1])[None] < len(said)


def log_ratio(run, prompt_ids, response_ids):
  """log π(y | x) − log π_ref(y | x): each token's law, one row at a time."""
  row, total = one_row(prompt_ids, response_ids), 0.0
  for name, sign in (('reward_dpo', 1), ('sft', -1)):
    params = run.trained.params(name, 'policy')
    logits = np.asarray(logits_of(run.models().policy, params, *row)[0], float)
    laws = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    first = len(prompt_ids) - 1
    total += sign * sum(
      laws[first + t, token] for t, token in enumerate(response_ids)
    )
  return total


class Case(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)


class ImplicitTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(folder.cleanup)
    cls.chain = chain(folder.name, BEST)
    cls.pairs = cls.chain.data.records('comparisons')[:3]
    examples, _ = cls.chain.data.encode(cls.pairs)
    cls.ratios = np.array(
      [
        [log_ratio(cls.chain, e.prompt_ids, ids) for ids in e.response_ids]
        for e in examples
      ]
    )

  def test_is_the_log_ratio_of_the_response_and_its_end(self):
    eos = self.chain.corpus.tokenizer.eos_id
    examples, _ = self.chain.data.encode(self.pairs)
    self.assertEqual(examples[0].response_ids[0][-1], eos)
    queries = small.queries(self.chain, 'made', examples)
    np.testing.assert_allclose(
      queries.score(self.pairs), BETA * self.ratios, atol=1e-4
    )

  def test_is_the_same_wherever_padding_is(self):
    how = dataclasses.replace(HOW, scored_by=IMPLICIT)
    run = small.remade(self.chain, evaluation=how)
    (part,) = answering.respond_as(
      run,
      PolicyVariant(policy='sft'),
      run.data.records('test_prompts')[:3],
      jax.random.key(0),
      samples=2,
      sampling=Sampling(temperature=1.0),
      batch_size=3,
    )
    tokens, mask = map(np.asarray, part.rollouts.responses)
    for row, example in enumerate(part.examples):
      for k in range(2):
        said = tokens[row, k][mask[row, k]].tolist()
        expected = BETA * log_ratio(run, example.prompt_ids, said)
        self.assertAlmostEqual(float(part.scores[row, k]), expected, 3)

  def test_may_be_one_of_several(self):
    several = Ensemble((IMPLICIT, 'reward_mean'), ensembles.mean)
    stage = self.chain.experiment.stages['made']
    stages = dict(self.chain.experiment.stages)
    stages['made'] = stage._replace(frozen={'reward': several})
    run = small.remade(self.chain, stages=stages)
    examples, _ = run.data.encode(self.pairs)
    found = small.queries(run, 'made', examples).score(self.pairs)
    alone = self.scores(run, 'reward_mean')
    expected = 0.5 * (BETA * self.ratios + alone)
    np.testing.assert_allclose(found, expected, atol=1e-4)

  def scores(self, run, reward):
    examples, _ = run.data.encode(self.pairs)
    frozen = {'reward': run.trained.params(reward, 'reward')}
    batch = run.data.batch(examples, len(examples))
    return np.asarray(run.trained.scorer(reward)(frozen, batch))

  def test_a_mean_is_read_where_its_stage_says_so(self):
    examples, _ = self.chain.data.encode(self.pairs)
    params = small.params('reward')
    hidden, head = jax.jit(self.chain.models().reward.hidden), params['head']
    expected = []
    for example in examples:
      for response in example.response_ids:
        ids, mask = one_row(example.prompt_ids, response)
        states = np.asarray(hidden(params, ids, mask), np.float64)[mask]
        expected.append(states.mean(axis=0) @ np.asarray(head['kernel'])[:, 0])
    found = self.scores(self.chain, 'reward_mean')
    np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-4)
    last = self.scores(self.chain, 'reward_model')  # Of the same parameters.
    self.assertFalse(np.allclose(found, last, atol=1e-3))

  def test_is_measured_as_a_reward_model_is(self):
    found = measuring.measure_reward_models(self.chain, {})
    self.assertEqual(
      [*found],
      [
        (name, 'comparisons')
        for name in ('reward_model', 'reward_mean', 'reward_dpo')
      ],
    )
    every = self.chain.data.records('comparisons')[:8]
    examples, _ = self.chain.data.encode(every)
    gaps = [
      log_ratio(self.chain, e.prompt_ids, e.response_ids[0])
      - log_ratio(self.chain, e.prompt_ids, e.response_ids[1])
      for e in examples
    ]
    right = found['reward_dpo', 'comparisons'].accuracy.value
    self.assertAlmostEqual(right, np.mean(np.array(gaps) > 0))

  def test_what_is_no_policy_is_one_sentence(self):
    for changed, said in (
      ({'policy': 'reward_model'}, "'made' takes its frozen reward's policy "
       "from 'reward_model', which trains a reward; there are sft, reward_dpo"),
      ({'reference': 'sftt'}, "'made' takes its frozen reward's reference from "
       "'sftt', which is no earlier stage.* did you mean 'sft'"),
      ({'reference': 'reward_dpo'}, "'made' reads the policy 'reward_dpo' as a "
       "reward against the reference 'reward_dpo', and it was trained against "
       "'sft'; give reference='sft'"),
    ):  # fmt: skip
      wrong = dataclasses.replace(IMPLICIT, **changed)
      with self.assertRaisesRegex(ExperimentError, said):
        self.keeping('made', {'reward': wrong})
      with self.assertRaisesRegex(ExperimentError, said.replace(
        "'made'", 'evaluation.scored_by').replace('frozen ', '')
      ):  # fmt: skip
        how = dataclasses.replace(HOW, scored_by=wrong)
        small.remade(self.chain, evaluation=how)
    several = Ensemble((IMPLICIT,), ensembles.mean)
    for kept in (IMPLICIT, several, lambda prompts, responses: None):
      with self.assertRaisesRegex(
        ExperimentError,
        'stages.made.frozen.ranker is .*, and only a reward may be a program',
      ):
        self.keeping('made', {'ranker': kept})

  def keeping(self, name, frozen):
    stages = dict(self.chain.experiment.stages)
    stages[name] = stages[name]._replace(frozen=frozen)
    return small.remade(self.chain, stages=stages)

  def test_shares_the_parameters_of_its_stages(self):
    params = self.chain.trained.params(IMPLICIT, 'reward')
    for role, name in (('policy', 'reward_dpo'), ('reference', 'sft')):
      own = self.chain.trained.params(name, 'policy')
      self.assertIs(params[role], own)

  def test_has_no_hidden_states(self):
    queries = small.queries(self.chain, 'made', [])
    with self.assertRaisesRegex(ExperimentError, 'asks for hidden states'):
      queries.embed([], [])


class AddressTest(Case):
  def address(self, name, stages, **changes):
    return stage_addresses(chain(self.folder, stages, **changes).experiment)[
      name
    ]

  def test_what_is_read_counts(self):
    def path(**changed):
      reward = dataclasses.replace(IMPLICIT, **changed)
      return self.address('ppo', ppo.stages(PPO, reward=reward))

    other = dpo.stages(dpo.Config(steps=2), data='comparisons', name='other')
    reward = dataclasses.replace(IMPLICIT, policy='other')
    of_other = self.address('ppo', other | ppo.stages(PPO, reward=reward))
    self.assertLen({path(), path(beta=0.1), of_other}, 3)
    self.assertEqual(path(), path(beta=BETA))

  def test_how_a_head_reads_counts(self):
    learnt = ppo.stages(PPO, reward='reward_mean')
    found = [
      self.address('ppo', {'reward_mean': stage} | learnt)
      for stage in (
        MEAN['reward_mean'],
        MEAN['reward_mean']._replace(reading=last_token),
        MEAN['reward_mean'],
      )
    ]
    self.assertEqual(found[0], found[2])
    self.assertNotEqual(found[0], found[1])

  def test_a_policy_s_answers_depend_on_what_scores_them(self):
    def path(reward):
      how = dataclasses.replace(HOW, scored_by=reward)
      made = chain(self.folder, {}, evaluation=how).experiment
      return answers.paths(made, self.folder)['sft']

    halved = dataclasses.replace(IMPLICIT, beta=BETA / 2)
    rewards = (IMPLICIT, halved, 'reward_mean', 'reward_model')
    self.assertLen({path(reward) for reward in rewards}, 4)
    self.assertEqual(path(IMPLICIT), path(dataclasses.replace(IMPLICIT)))


class ChainTest(Case):
  def test_ppo_learns_from_both(self):
    both = Ensemble((IMPLICIT, 'reward_mean'), ensembles.mean)
    run = chain(self.folder, ppo.stages(PPO, reward=both))
    running.run_stage(run, 'ppo')
    (row,) = read_jsonl(run.folders['ppo'].path / store.METRICS)
    self.assertTrue(math.isfinite(row['score'] + row['loss/value']))
    self.assertEqual(
      measuring.learnt_from(run.experiment)['ppo'], 'reward_dpo + reward_mean'
    )

  def test_a_critic_starts_from_what_has_a_trunk(self):
    for reward, started in (
      ('reward_mean', 'reward_mean'),
      (IMPLICIT, None),
      (Ensemble((IMPLICIT, 'reward_mean'), ensembles.mean), None),
      (Ensemble(('reward_mean', IMPLICIT), ensembles.mean), 'reward_mean'),
    ):
      stage = ppo.stages(PPO, reward=reward)['ppo']
      self.assertEqual(stage.start.get('critic'), started)

  def test_what_goes_on_from_a_reward_model_reads_as_it_does(self):
    scaled = rlp.scale.stages(
      rlp.scale.Config(batch_size=8),
      trained=MEAN,
      data='comparisons',
      name='scaled',
    )
    run = chain(self.folder, scaled)
    self.assertIs(run.trained.reading('scaled', 'reward'), mean_of_tokens)
    running.run_stage(run, 'scaled')
    # It has the other's mean and deviation, read as it is.
    examples, _ = run.data.encode(run.data.records('comparisons')[:8])
    batch = run.data.batch(examples, 8)
    found = [
      np.asarray(
        run.trained.scorer(name)(
          {'reward': run.trained.params(name, 'reward')}, batch
        )
      )
      for name in ('scaled', 'reward_mean')
    ]
    self.assertGreater(np.corrcoef(found[0].flat, found[1].flat)[0, 1], 0.9999)
    params = run.folders['scaled'].path / store.PARAMS
    self.assertIn('mean_of_tokens', (params / store.READING).read_text())
    with self.assertRaisesRegex(
      ExperimentError, "'other' takes its reward from .*; name the stage"
    ):
      chain(
        self.folder,
        best_of_n.stages(
          best_of_n.Config(samples=2), name='other', reward=str(params)
        ),
      )

  def test_so_does_one_that_is_to_be_rescaled(self):
    again = reward_model.stages(
      reward_model.Config(steps=1),
      data='comparisons',
      name='again',
      start={'reward': 'reward_mean'},
    )
    scaled = rlp.scale.stages(
      rlp.scale.Config(batch_size=8),
      trained=again,
      data='comparisons',
      name='scaled',
    )
    trained = chain(self.folder, scaled).trained
    for name in ('again', 'scaled'):
      role = trained.stages[name].produces
      self.assertIs(trained.reading(name, role), mean_of_tokens)

  def test_a_policy_s_scores_may_be_brought_to_another_scale(self):
    matched = rlp.scale.implicit_stages(
      rlp.scale.Config(batch_size=small.RECORDS),  # All there are.
      reward=IMPLICIT,
      data='comparisons',
      name='matched',
    )
    scaled = dataclasses.replace(IMPLICIT, scale='matched')
    run = chain(self.folder, matched | ppo.stages(PPO, reward=scaled))
    running.run_stage(run, 'matched')
    (row,) = read_jsonl(run.folders['matched'].path / store.METRICS)
    examples, _ = run.data.encode(run.data.records('comparisons'))
    batch = run.data.batch(examples, len(examples))
    before, after, like = (
      np.asarray(
        run.trained.scorer(reward)(
          {'reward': run.trained.params(reward, 'reward')}, batch
        ),
        np.float64,
      )
      for reward in (IMPLICIT, scaled, 'reward_model')
    )
    np.testing.assert_allclose(after.mean(), like.mean(), atol=1e-4)
    np.testing.assert_allclose(after.std(), like.std(), rtol=1e-3)
    np.testing.assert_allclose(
      after, row['scale'] * before + row['shift'], atol=1e-4
    )
    with self.assertRaisesRegex(
      ExperimentError, "reward's scale from 'sft', which trains a policy"
    ):
      wrong = dataclasses.replace(IMPLICIT, scale='sft')
      chain(self.folder, ppo.stages(PPO, reward=wrong))

  def test_kept_features_are_of_one_reading(self):
    made = [
      reward_head.stages(
        reward_head.Config(), name='kept', data='comparisons', reading=reading
      )
      for reading in (None, last_token, mean_of_tokens)
    ]
    paths = []
    for stages in made:
      run = chain(self.folder, stages)
      paths.append(kept_features.file(run, 'kept'))
    self.assertEqual(paths[0], paths[1])
    self.assertNotEqual(paths[0], paths[2])

  def test_a_stage_without_a_head_has_no_reading(self):
    stages = {'more': DPO['reward_dpo']._replace(reading=mean_of_tokens)}
    with self.assertRaisesRegex(
      ExperimentError, 'stages.more.reading is .*mean_of_tokens, and what'
    ):
      chain(self.folder, stages)


if __name__ == '__main__':
  absltest.main()
