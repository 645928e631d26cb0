"""Pairs and scales that keep the manner, by hand."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from rlhf_jax.feedback import similarity
from rlhf_jax.methods import reward_model
from rlhf_jax.methods.rlp import consistency, manner, scale
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparison, Sampled
from tests import toy
from tests.methods.fake_queries import FakeQueries, prompt


def first_word(asked, text):
  return text.split()[0]


def restate(text, other):
  """The rest of a text after the first word of another, but z is no word."""
  word = first_word(None, other)
  return None if word == 'z' else ' '.join([word, *text.split()[1:]])


SAME = functools.partial(similarity.answer, extract=first_word)


def sampled(asked, *texts, ended=True):
  count = len(texts)
  return Sampled(
    prompt(asked),
    texts,
    ended=(ended,) * count,
    lengths=(3,) * count,
    logps=(-1.0,) * count,
    scores=tuple(float(count - i) for i in range(count)),
  )


class RestatedTest(absltest.TestCase):
  def test_the_rejected_says_the_other_in_the_words_of_the_preferred(self):
    records = [
      sampled('one', 'a sure thing', 'a', 'a !', 'b ok', ended=False),
      sampled('two', 'a yes', 'a', 'z no'),
      sampled('three', 'a', 'b', 'c'),
    ]
    config = manner.Restated(
      similarity=SAME,
      gamma=0.6,
      choose=consistency.best_scored,
      restate=restate,
    )
    queries = FakeQueries(seeds=[0, 1, 2]).queries
    found = manner.restated_pairs(records, queries, config=config)
    (pair,) = found.records
    self.assertEqual(pair.prompt.text, 'one')
    self.assertEqual(pair.responses, ('a sure thing', 'b sure thing'))
    self.assertEqual([said.ended for said in pair.responses], [False] * 2)
    # Of two pairs one can be restated; the third prompt is not sure.
    self.assertEqual(float(found.facts['restated'].value), 0.5)
    self.assertAlmostEqual(float(found.facts['accepted'].value), 2 / 3, 6)


class AlikeTest(absltest.TestCase):
  def test_pairs_that_say_the_same_are_kept_as_they_are(self):
    pairs = [
      Comparison(prompt('one'), ('a x', 'a y'), weight=2.0),
      Comparison(prompt('two'), ('a x', 'b x')),
      Comparison(prompt('three'), ('b', 'b !', 'a')),
    ]
    queries = FakeQueries(seeds=[0, 1, 2]).queries
    found = manner.alike(pairs, queries, config=manner.Alike(similarity=SAME))
    self.assertEqual(found.records, pairs[:1])
    self.assertAlmostEqual(float(found.facts['alike'].value), 1 / 3, 6)


class ScaleTest(absltest.TestCase):
  # Deviations from the prompts' means are ±1 and ±2, and half of that.
  OWN = jnp.array([[0.0, 2.0, 99.0], [10.0, 14.0, -5.0]])
  LIKE = jnp.array([[1.0, 2.0, 0.0], [5.0, 7.0, 8.0]])
  THERE = jnp.array([[True, True, False]] * 2)

  def test_by_the_spread_within_a_prompt(self):
    factor, shift = manner.matched_within(self.OWN, self.LIKE, self.THERE)
    self.assertAlmostEqual(float(factor), 0.5, 6)
    # Means of 6.5 and 3.75.
    self.assertAlmostEqual(float(shift), 3.75 - 0.5 * 6.5, 5)
    # By all of the spread it would be another: prompts differ, too.
    whole, _ = scale.matched(self.OWN, self.LIKE, self.THERE)
    self.assertLess(float(whole), 0.45)

  def test_is_folded_into_the_head(self):
    head = {'kernel': jnp.array([[2.0], [-4.0]]), 'bias': jnp.array([1.0])}
    batch = toy.comparisons(2)
    models = SimpleNamespace(
      reward=SimpleNamespace(
        scores=lambda params, tokens, mask: self.OWN[:, :2].reshape(-1, 1)
      ),
      scorer=lambda frozen, batch: self.LIKE[:, :2],
    )
    config = scale.Config()
    optimizer = config.make_optimizer()
    state = training.create({'reward': {'trunk': {}, 'head': head}}, optimizer)
    moved, metrics = manner.update(
      state, {}, batch, jax.random.key(0), models=models, optimizer=optimizer,
      config=config,
    )  # fmt: skip
    new = moved.params['reward']['head']
    np.testing.assert_allclose(new['kernel'], [[1.0], [-2.0]], rtol=1e-6)
    np.testing.assert_allclose(new['bias'], [0.5 + 0.5], rtol=1e-5)
    self.assertAlmostEqual(float(metrics['scale'].value), 0.5, 6)
    self.assertEqual(moved.step, 1)

  def test_its_stage_is_of_responses_that_say_the_same(self):
    trained = reward_model.stages(reward_model.Config(steps=1), name='new')
    found = manner.stages(trained=trained, data='alike', name='scaled')
    self.assertEqual(found['new'].produces, 'unscaled_reward')
    self.assertIs(found['scaled'].update, manner.update)
    self.assertEqual(found['scaled'].data, 'alike')
    self.assertEqual(found['scaled'].frozen, {'reward': 'reward_model'})


if __name__ == '__main__':
  absltest.main()
