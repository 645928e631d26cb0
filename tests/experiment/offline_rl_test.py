"""A Decision Transformer in a chain: what it reads, and what is kept of it."""

import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax import sandbox
from rlhf_jax.experiment import (
  Evaluation,
  Limits,
  PolicyVariant,
  answering,
  definition,
  notes,
  running,
)
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.feedback.reward_condition import Target
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import labels, offline_rl
from tests import toy
from tests.experiment import small

WORDS = sandbox.CONDITION_WORDS
CONDITIONED = functools.partial(
  offline_rl.conditioned, decimals=1, spelling=sandbox.spell
)
LABELS = labels.Config(batch_size=8)
STAGES = (
  labels.stages(LABELS, reward=sandbox.gold)
  | labels.stages(LABELS, data='comparisons', reward=sandbox.gold, name='pairs')
  | offline_rl.pool_stages(
    offline_rl.Pool(recipe=CONDITIONED), data=('labelled', 'pairs')
  )
  | offline_rl.stages(offline_rl.Config(steps=1), name='dt')
)


def target(z):
  return Target(z, decimals=1, spelling=sandbox.spell)


def chain(folder, z=1.0):
  vocab_size = sandbox.tokenizer(WORDS).vocab_size
  made = small.chain(
    pathlib.Path(folder),
    STAGES,
    data=dataclasses.replace(small.WORLD, words=WORDS),
    model=dataclasses.replace(small.MODEL, vocab_size=vocab_size),
    limits=Limits(
      max_prompt_tokens=sandbox.max_prompt_tokens() + 6,
      max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
    ),
    evaluation=Evaluation(count=3, samples=2, batch_size=4),
    variants={'dt': PolicyVariant(policy='dt', condition=target(z))},
  )
  # Nobody samples or scores with these.
  made.loaded.update(dt={'policy': {}}, reward_model={'reward': {}})
  return made


class DecisionTransformerTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(folder.cleanup)
    cls.folder, cls.chain = folder.name, chain(folder.name)
    for name in ('labelled', 'pairs', 'pool'):
      running.run_stage(cls.chain, name)

  def test_the_pool_is_every_response_once(self):
    said = [d.response for d in self.chain.data.records('demonstrations')]
    said += [
      t for c in self.chain.data.records('comparisons') for t in c.responses
    ]
    pool = self.chain.data.records('pool')
    self.assertLen(pool, 3 * small.RECORDS)
    self.assertEqual([d.response for d in pool], said)
    kinds = [c.prompt.kind for c in self.chain.data.records('comparisons')]
    self.assertEqual([d.prompt.kind for d in pool[small.RECORDS :: 2]], kinds)

  def test_statistics_are_of_the_whole_pool_and_kept(self):
    labelled = self.chain.data.records(('labelled', 'pairs'))
    rewards = np.array([rated.ratings[0] for rated in labelled])
    mean, std = np.mean(rewards), np.std(rewards, ddof=1)
    facts = self.chain.folders['pool'].facts()
    self.assertEqual(facts['records'], 3 * small.RECORDS)
    self.assertAlmostEqual(facts['reward_mean'], mean)
    self.assertAlmostEqual(facts['reward_std'], std)
    self.assertAlmostEqual(facts['lowest_z'], (rewards.min() - mean) / std)
    for rated, told in zip(
      labelled, self.chain.data.records('pool'), strict=True
    ):
      z = (rated.ratings[0] - mean) / std
      self.assertEqual(
        told.prompt.condition.replace(' ', ''),
        f'<rm_score>:{round(z, 1) + 0.0:.1f}',
      )

  def test_reads_the_same_ids_in_training_and_in_answering(self):
    tokenizer = self.chain.corpus.tokenizer
    pool = self.chain.data.records('pool')[:5]
    examples, _ = self.chain.data.encode(pool)
    batch = self.chain.data.batch(examples, 5)
    for row, demonstration in enumerate(pool):
      tokens = np.asarray(batch.tokens[row])
      said = np.asarray(batch.response_mask[row])
      before = np.asarray(batch.attention_mask[row]) & ~said
      # What is learnt is the response, and nothing of the condition.
      self.assertEqual(
        tokenizer.decode(tokens[said].tolist()), demonstration.response
      )
      condition = demonstration.prompt.condition
      z = float(condition.replace(' ', '').removeprefix('<rm_score>:'))
      read = self.asked(demonstration.prompt._replace(condition=''), z)
      self.assertEqual(read, tokens[before].tolist())
      self.assertEqual(
        tokenizer.decode(read), f'{demonstration.prompt.text} {condition}'
      )

  def asked(self, prompt, z):
    """The ids that the sampler is given when a reward is asked for."""
    given = []

    def sampler(params, prompts, key, **options):
      del params, key, options
      given.append(prompts)
      raise StopAsyncIteration

    models = self.chain.models()._replace(sampler=toy.spy(sampler))
    with (
      mock.patch.object(Run, 'models', lambda *chain, stage: models),
      self.assertRaises(StopAsyncIteration),
    ):
      list(
        answering.respond_as(
          self.chain,
          PolicyVariant(policy='dt', condition=target(z)),
          [prompt],
          jax.random.key(0),
          samples=1,
          sampling=Sampling(temperature=1.0),
          batch_size=1,
        )
      )
    (prompts,) = given
    mask = np.asarray(prompts.attention_mask[0])
    return np.asarray(prompts.tokens[0])[mask].tolist()

  def test_a_target_beyond_the_pool_is_warned_of(self):
    facts = self.chain.folders['pool'].facts()
    self.assertEqual(notes.warnings(self.chain.experiment, self.chain.data), [])
    far = chain(self.folder, 9.0).experiment
    (warning,) = notes.warnings(far, self.chain.data)
    self.assertStartsWith(warning, 'dt: a reward of 9 is asked for')
    self.assertIn(f' to {round(facts["highest_z"], 1):g} (', warning)

  def test_the_policy_is_measured_as_it_is_asked(self):
    found = definition.policy_variants(self.chain.experiment)
    self.assertEqual(found['dt'].condition, target(1.0))


if __name__ == '__main__':
  absltest.main()
