"""Reward models of stages whose tokenizer is not the policy's."""

import dataclasses
import functools
import math

import chex
import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.data.limits import Limits
from rlhf_jax.experiment import (
  Ensemble,
  ExperimentError,
  ImplicitReward,
  Pretrained,
  answering,
  kept_features,
  measuring,
  running,
  store,
  text_reading,
)
from rlhf_jax.kernels import ensembles
from rlhf_jax.methods import ppo, reward_head, reward_model, rloo
from rlhf_jax.methods.rlp import scale
from rlhf_jax.models import language_model, mean_of_tokens, scalar_model
from rlhf_jax.training.metrics import read_jsonl
from rlhf_jax.types import Comparison, Mean, Response, Rollouts
from tests.experiment import other_tokenizer, small
from tests.experiment.other_tokenizer import PROMPTS, SAID

CONFIG = reward_model.Config(steps=1, batch_size=small.RECORDS)
WIDE = Limits(max_prompt_tokens=80, max_response_tokens=100)
ANSWER = 'it is 7 .'
ASKED = []  # Places of the prompts of each batch.


@chex.dataclass
class Answered:
  """A batch of one answer to each prompt."""

  rollouts: Rollouts


def collect(state, frozen, prompts, key, *, models, config):
  """Every prompt is answered alike, and scored by whatever scores."""
  del state, key, config
  ASKED.extend(np.asarray(prompts.index).tolist())
  ids = sandbox.tokenizer().encode(ANSWER)
  said = np.tile(np.array(ids, np.int32), (len(prompts.tokens), 1))
  nothing, real = (
    np.zeros(prompts.tokens.shape, bool),
    np.ones(said.shape, bool),
  )
  before = np.asarray(prompts.attention_mask)
  zeros = np.zeros(said.shape, np.float32)[:, None]
  rollouts = Rollouts(
    tokens=np.concatenate([prompts.tokens, said], axis=1)[:, None],
    attention_mask=np.concatenate([before, real], axis=1)[:, None],
    response_mask=np.concatenate([nothing, real], axis=1)[:, None],
    logps=zeros,
    truncated_logps=zeros,
    ended=np.ones((len(said), 1), bool),
    index=prompts.index,
  )
  scores = models.scorer(frozen, rollouts)
  return Answered(rollouts=rollouts), {'score': Mean.of(scores)}


def update(state, frozen, batch, key, *, models, optimizer, config):
  """Learns nothing."""
  del frozen, batch, key, models, optimizer, config
  return state.replace(step=state.step + 1), {}


class TextRewardsTest(other_tokenizer.Case):
  def own(self, **placed):
    """A stage 'own' that trains a reward model on a trunk that reads bytes."""
    placed = {'start': Pretrained(str(self.root / 'trunk'))} | placed
    return reward_model.stages(
      CONFIG, **{'data': 'comparisons', 'name': 'own'} | placed
    )

  def trained(self, stages=None, limits=small.LIMITS, **frozen):
    """A chain whose 'own' has been trained."""
    chain = self.chain(self.own() | (stages or {}), limits, **frozen)
    chain.loaded['own'] = {'reward': self.params['ranker']}
    return chain

  def score(self, prompt, text):
    return self.scores('ranker', prompt, text)[0]

  def gap(self, pair):
    """How much higher the first of two responses scores."""
    first, second = (self.score(pair.prompt, text) for text in pair.responses)
    return first - second

  def test_it_learns_from_its_own_ids(self):
    stages = self.own(start={'reward': str(self.root / 'ranker')})
    stages['own'] = stages['own']._replace(
      log_every=1, update=other_tokenizer.measured(reward_model)
    )
    chain = self.chain(stages, WIDE)
    pairs = [
      Comparison(c.prompt, tuple(Response(t, ids=(1, 2)) for t in c.responses))
      for c in chain.data.records('comparisons')
    ]
    chain = small.holding(chain, comparisons=pairs)
    running.run_stage(chain, 'own')
    (row,) = read_jsonl(chain.folders['own'].path / 'metrics.jsonl')
    gaps = list(map(self.gap, pairs))
    expected = np.mean(np.log1p(np.exp(-np.array(gaps))))
    np.testing.assert_allclose(row['preference'], expected, rtol=1e-4)
    # What is kept says whose ids it reads.
    kept = chain.folders['own'].path / store.PARAMS
    read = store.vocabulary_of(kept)
    self.assertEqual(read, store.ids_of(self.tokenizer))
    self.assertNotEqual(read, store.ids_of(sandbox.tokenizer()))
    with self.assertRaisesRegex(
      ExperimentError,
      f"'made' takes its reward from {kept}, which was trained with another "
      'tokenizer than .*launch.export_weights',
    ):
      self.chain(reward=str(kept))

  def test_a_trunk_is_read_once_in_its_own_ids(self):
    config = reward_head.Config(steps=1, batch_size=8)
    stages = reward_head.stages(
      config,
      data='comparisons',
      name='head',
      start=Pretrained(str(self.root / 'trunk')),
    )
    chain = self.chain(stages, WIDE)
    data = chain.trained.read_by(chain.data, 'head', 'reward')
    pairs = chain.data.records('comparisons')[:2]
    examples, _ = data.encode(pairs)
    params = {'reward': {'trunk': self.params['trunk']}}
    models = chain.models(stage='head')
    found = kept_features.attach(
      chain, 'head', examples, lambda: params, models, data
    )
    hidden = jax.jit(language_model(self.config).hidden)
    for pair, example in zip(pairs, found, strict=True):
      for text, features in zip(pair.responses, example.features, strict=True):
        ids, real = self.ids(pair.prompt, text)
        states = hidden(self.params['trunk'], ids, real)
        np.testing.assert_allclose(
          features, states[0, int(real.sum()) - 1], atol=1e-4
        )

  def test_it_judges_text(self):
    queries = self.queries(self.trained(reward='own'))
    asked = [
      Comparison(prompt, (text, 'it'))
      for prompt, text in zip(PROMPTS, SAID, strict=True)
    ]
    for pair, found in zip(asked, queries.score(asked), strict=True):
      expected = [self.score(pair.prompt, text) for text in pair.responses]
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

  def test_it_judges_text_as_its_head_reads(self):
    chain = self.trained(self.own(reading=mean_of_tokens), reward='own')
    (found,) = self.queries(chain).score([Comparison(PROMPTS[0], (SAID[0],))])
    model = scalar_model(self.config, reading=mean_of_tokens)
    asked = self.ids(PROMPTS[0], SAID[0])
    expected = model.scores(self.params['ranker'], *asked)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

  def test_an_ensemble_judges_text(self):
    both = Ensemble(('own', 'other'), ensembles.mean)
    chain = self.trained(self.own(name='other'), reward=both)
    ranker = self.params['ranker']
    doubled = jax.tree.map(lambda x: 2 * x, ranker['head'])
    chain.loaded['other'] = {'reward': ranker | {'head': doubled}}
    (found,) = self.queries(chain).score([Comparison(PROMPTS[0], (SAID[0],))])
    expected = 1.5 * self.score(PROMPTS[0], SAID[0])
    np.testing.assert_allclose(found, [expected], rtol=1e-4)

  def test_its_states_are_of_text(self):
    queries = self.queries(self.trained(reward='own'))
    (found,) = queries.embed(PROMPTS[:1], SAID[:1])
    ids, real = self.ids(PROMPTS[0], SAID[0])
    count = len(self.tokenizer.encode(SAID[0])) + 1
    hidden = self.model.hidden(self.params['ranker'], ids, real)[0]
    expected = np.mean(hidden[: int(real.sum())][-count:], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)

  def test_a_policy_learns_from_it(self):
    config = rloo.Config(steps=1, batch_size=4, samples=2)
    stages = rloo.stages(config, reward='own', name='online')
    stages['online'] = stages['online']._replace(
      collect=collect, update=update, produces='nothing'
    )
    chain = self.trained(stages)
    running.run_stage(chain, 'online')
    (row,) = read_jsonl(chain.folders['online'].path / 'metrics.jsonl')
    asked = chain.data.records('prompts')
    expected = np.mean([self.score(asked[i], ANSWER) for i in ASKED])
    self.assertLen(ASKED, 4)
    self.assertAlmostEqual(row['score'], expected, 5)

  def test_it_is_measured_in_its_own_ids(self):
    chain = self.trained()
    how = dataclasses.replace(
      chain.experiment.evaluation,
      comparisons={'own': 'test_comparisons'},
      held_out=6,
      count=2,
      samples=1,
      batch_size=4,
      scored_by='own',
    )
    stages = {k: chain.experiment.stages[k] for k in ('sft', 'own')}
    run = small.remade(chain, evaluation=how, stages=stages, variants={})
    (found,) = measuring.measure_reward_models(run, {}).values()
    pairs = measuring.held_out(run, 'test_comparisons')
    right = [self.gap(pair) > 0 for pair in pairs]
    self.assertAlmostEqual(found.accuracy.value, np.mean(right))
    answered = answering.sample(run, 'sft')
    self.assertEqual(answered.scored_by, 'own')
    for prompt, text, score in zip(
      answered.prompts, answered.responses, answered.score, strict=True
    ):
      self.assertAlmostEqual(score, self.score(prompt, text), 4)

  def test_rows_are_as_long_as_what_is_read_of_them(self):
    chain = self.trained()
    data = chain.trained.read_by(chain.data, 'own', 'reward')
    prompt, imitated = PROMPTS[0], SAID[2]
    pair = Comparison(prompt, ('it', 'is'), target=imitated)
    _, real = self.ids(prompt, imitated)
    longest = int(real.sum())
    self.assertGreater(longest, small.LIMITS.columns(1))
    examples, _ = data.encode_all([pair])
    batch = data.batch(examples, 1)
    columns = math.ceil(longest / 32) * 32
    self.assertEqual(batch.tokens.shape, (1, 2, columns))
    self.assertEqual(int(batch.targets.attention_mask.sum()), longest)

  def test_devices_share_what_is_read_at_a_time(self):
    run = small.chain(self.root / 'stages', self.own(), devices=2, max_rows=9)
    asked = []

    def score(batch):
      asked.append(len(batch.tokens))
      return np.ones((len(batch.tokens), 1))

    data = run.trained.read_by(run.data, 'own', 'reward')
    reward = text_reading.TextReward('own', data, score)
    self.assertEqual(reward(PROMPTS[:1] * 10, ['it'] * 10).tolist(), [1] * 10)
    self.assertEqual(asked, [8, 8])

  def test_each_text_has_its_own_score_whatever_is_read_with_it(self):
    chain = self.trained()
    data = chain.trained.read_by(chain.data, 'own', 'reward')

    def lengths(batch):
      return np.asarray(batch.attention_mask).sum(-1)

    asked, said = PROMPTS * 5, [*reversed(SAID)] * 5
    expected = [
      int(self.ids(prompt, text)[1].sum())
      for prompt, text in zip(asked, said, strict=True)
    ]
    reward = text_reading.TextReward('own', data, lengths)
    self.assertEqual(reward(asked, said).tolist(), expected)
    self.assertEqual(reward([], []).tolist(), [])
    short = text_reading.TextReward('own', data, lengths, max(expected) - 1)
    with self.assertRaisesRegex(
      ExperimentError,
      f"'what is it \\?'.* and a response to it are {max(expected)} tokens, "
      f'and the reward model own reads {max(expected) - 1}',
    ):
      short(asked, said)

  def test_what_it_cannot_be_is_told(self):
    critic = ppo.stages(ppo.Config(steps=1), reward='own')
    like = scale.stages(
      scale.Config(),
      trained=self.own(),
      like='reward_model',
      data='comparisons',
      name='scaled',
    )
    mixed = functools.partial(Ensemble, combine=ensembles.mean)
    read = ImplicitReward(policy='sft', reference='sft', beta=0.1)
    beside = scale.implicit_stages(
      scale.Config(), reward=read, like='own', data='comparisons', name='scale'
    )
    for stages, frozen, message in (
      (critic, {}, "'ppo' takes its critic from 'own', which has another tok"),
      (like, {}, "'scaled' scores the tokens of its batches as its reward do"),
      (beside, {}, "reward of stage 'scale' is an .* different tokenizers"),
      *(
        (
          {},
          {'reward': mixed(('own', other))},
          "reward of stage 'made' is an ensemble of .* different tokenizers",
        )
        for other in ('reward_model', read)
      ),
    ):
      with self.assertRaisesRegex(ExperimentError, message):
        self.trained(stages, **frozen)


if __name__ == '__main__':
  absltest.main()
