"""Attribute regression: numpy's definition, and labels that are missing."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.learners import attributes
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Ratings
from tests import toy
from tests.learners import definitions, tables

NAMES = ('quality', 'toxicity', 'humor')
CONFIG = attributes.Config(names=NAMES)
# Rows by what they rate: all, one, nothing, two.
MASK = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
GIVEN = np.array([[4, 0, 1], [0, 3, 0], [0, 0, 0], [2, 0, 4]], np.float32)


def ratings(**fields):
  asked = toy.demonstrations(4)
  return Ratings(
    tokens=asked.tokens,
    attention_mask=asked.attention_mask,
    **({'ratings': GIVEN, 'rating_mask': MASK} | fields),
  )


def params(seed=0):
  kernel = 2.0 * jax.random.normal(jax.random.key(seed), (toy.VOCABULARY, 3))
  return {'attributes': {'trunk': {}, 'head': {'kernel': kernel}}}


def predicted(values, batch):
  """[4, 3] what the toy model says: the sum of its rows over real tokens."""
  kernel = np.asarray(values['attributes']['head']['kernel'], np.float64)
  return np.array(
    [
      kernel[row[mask]].sum(0)
      for row, mask in zip(batch.tokens, batch.attention_mask, strict=True)
    ]
  )


def loss(values, batch):
  return attributes.loss(
    values, {}, batch, None, models=toy.MODELS, config=CONFIG
  )


class AttributesTest(parameterized.TestCase):
  def test_is_the_mean_squared_error_of_what_is_rated(self):
    batch = ratings()
    terms, metrics = loss(params(), batch)
    scores = predicted(params(), batch)
    errors = [(scores[i, m] - GIVEN[i, m]) ** 2 for i, m in np.argwhere(MASK)]
    coefficient, mean = terms['squared_error']
    self.assertEqual(coefficient, 1.0)
    self.assertEqual(mean.weight, 6)
    np.testing.assert_allclose(mean.value, np.mean(errors), rtol=1e-5)
    near = np.round(np.clip(scores, 0, 4))
    hits = [near[i, m] == GIVEN[i, m] for i, m in np.argwhere(MASK)]
    np.testing.assert_allclose(metrics['accuracy'].value, np.mean(hits))
    for m, name in enumerate(NAMES):
      rows = np.flatnonzero(MASK[:, m])
      np.testing.assert_allclose(
        metrics[f'accuracy_{name}'].value,
        np.mean(near[rows, m] == GIVEN[rows, m]),
      )

  def test_accuracy_clips_and_rounds_to_even(self):
    def scores(values, tokens, attention_mask):
      del values, tokens, attention_mask
      return jnp.array(
        [[0.5, 1.5, 2.5], [-7.0, 9.0, 3.4], [0.6] * 3, [1.0] * 3]
      )

    models = toy.MODELS._replace(reward=toy.SCALAR._replace(scores=scores))
    given = np.array([[0, 2, 2], [0, 4, 4], [1, 1, 2], [1, 2, 1]], np.float32)
    batch = ratings(ratings=given, rating_mask=np.ones((4, 3), bool))
    _, metrics = attributes.loss(
      {'attributes': {}}, {}, batch, None, models=models, config=CONFIG
    )
    # Wrong are 3.4 for 4, 0.6 for 2, and 1.0 for 2.
    self.assertEqual(metrics['accuracy'].total, 9)
    self.assertEqual(
      [metrics[f'accuracy_{name}'].total for name in NAMES], [4, 3, 2]
    )

  @parameterized.parameters(np.nan, np.inf, 1e9)
  def test_missing_ratings_have_no_gradient(self, junk):
    def slope(batch):
      return jax.grad(lambda p: loss(p, batch)[0]['squared_error'][1].value)(
        params()
      )['attributes']['head']['kernel']

    clean = slope(ratings())
    dirty = slope(ratings(ratings=np.where(MASK, GIVEN, junk)))
    np.testing.assert_array_equal(clean, dirty)
    # Row 2 rates nothing, so its tokens do not matter; attribute 0 is rated by
    # rows 0 and 3 alone.
    batch = ratings()
    scores = predicted(params(), batch)
    counts = np.array(
      [
        [(row[mask] == v).sum() for v in range(toy.VOCABULARY)]
        for row, mask in zip(batch.tokens, batch.attention_mask, strict=True)
      ]
    )
    residuals = np.where(MASK, scores - GIVEN, 0.0)
    np.testing.assert_allclose(clean, counts.T @ residuals / 3.0, rtol=1e-4)

  def test_nothing_rated_is_a_step_of_nothing(self):
    batch = ratings(rating_mask=np.zeros((4, 3), bool))
    grads = jax.grad(lambda p: loss(p, batch)[0]['squared_error'][1].value)(
      params()
    )
    np.testing.assert_array_equal(grads['attributes']['head']['kernel'], 0.0)

  def test_least_squares_is_reached(self):
    """The toy model is linear, so the minimum is numpy's."""
    import optax

    from rlhf_jax.training import state as training

    batch = ratings(rating_mask=np.ones((4, 3), bool))
    optimizer = optax.adam(0.05)
    state = training.create(params(), optimizer)
    for _ in range(800):
      state, _ = jitted(attributes.update)(
        state,
        {},
        batch,
        jax.random.key(0),
        models=toy.MODELS,
        optimizer=optimizer,
        config=CONFIG,
      )
    counting = {'head': {'kernel': np.eye(toy.VOCABULARY)}}
    counts = predicted({'attributes': counting}, batch)
    best, *_ = np.linalg.lstsq(counts, GIVEN, rcond=None)
    np.testing.assert_allclose(
      predicted(state.params, batch), counts @ best, atol=1e-2
    )

  def test_there_is_a_score_for_each_name(self):
    made = attributes.init(
      jax.random.key(0), {}, models=toy.MODELS, config=CONFIG
    )
    head = made['attributes']['head']
    self.assertEqual(head['kernel'].shape, (toy.VOCABULARY, 3))

  def test_other_attributes_than_the_datas_are_refused(self):
    batch = ratings(ratings=GIVEN[:, :2], rating_mask=MASK[:, :2])
    with self.assertRaisesRegex(
      ValueError, 'the data rate 2 attributes and the config names 3'
    ):
      loss(params(), batch)


TEXTS = ((1, 0, 2), (0, 0, 1), (2,), (1, 1, 2), (1, 2), (0, 1, 0))
RATED = (
  (4.0, 0.0),
  (None, 3.0),
  (None, None),
  (2.0, None),
  (1.0, 2.0),
  (0.0, 1.0),
)
TABLE = {
  'defaults': {},
  'levels': {'levels': 2},
  'micro_batches': {'micro_batches': 3},
  'all': {'levels': 3, 'micro_batches': 2},
}


class TableTest(parameterized.TestCase):
  """Every setting, on ragged prompts, by counts of tokens."""

  @parameterized.parameters(*TABLE)
  def test_an_update_is_by_definition(self, name):
    config = attributes.Config(names=('quality', 'humor'), **TABLE[name])
    asked = tables.demonstrations(TEXTS)
    batch = Ratings(
      tokens=asked.tokens,
      attention_mask=asked.attention_mask,
      ratings=np.array([[x or 0.0 for x in row] for row in RATED], np.float32),
      rating_mask=np.array([[x is not None for x in row] for row in RATED]),
    )
    kernel = 0.5 + 0.4 * np.arange(8.0).reshape(4, 2) % 1.1
    grads, metrics, _ = tables.updated(
      attributes,
      config,
      batch,
      params={'attributes': {'head': {'kernel': tables.float32(kernel)}}},
      frozen={},
    )

    def definition(kernel):
      return definitions.rated(
        kernel,
        tables.HEADS,
        TEXTS,
        RATED,
        names=config.names,
        levels=config.levels,
      )

    tables.hold(
      self,
      (grads['attributes']['head']['kernel'], metrics),
      definition(kernel),
      definitions.slope(
        lambda moved: definitions.objective_of(definition(moved)[0]),
        kernel,
        np.ones_like(kernel),
      ),
    )

  def test_every_setting_is_here(self):
    configs = [attributes.Config(names=('a',), **x) for x in TABLE.values()]
    tables.every_field_is_moved(self, attributes.Config, configs)


if __name__ == '__main__':
  absltest.main()
