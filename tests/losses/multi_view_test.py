"""Losses over two views, against their definitions pair by pair."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.test_util import check_grads

from rlhf_jax.kernels import bottleneck
from rlhf_jax.losses import multi_view, objective

B, d = 6, 3


def sample():
  """A batch by the names that the losses read.

  Rows 0 and 2 are of one prompt, row 4 is padding.
  """
  draw = np.random.default_rng(0)
  mask = np.arange(B) != 4
  ids = np.array([7, 3, 7, 9, 5, 2])
  arrays = {
    'view_scores': 2.0 * draw.normal(size=(B, B)),
    'input_scores': 2.0 * draw.normal(size=(2, B, B)),
    'means': draw.normal(size=(B, 2, d)),
    'log_variances': draw.normal(size=(B, 2, d)),
    'skl_coef': 0.3,
  }
  return {name: np.float32(x) for name, x in arrays.items()} | {
    'positives': np.asarray(bottleneck.positive_pairs(mask)),
    'negatives': np.asarray(bottleneck.negative_pairs(ids, mask)),
    'mask': mask,
  }


def with_junk(batch):
  """NaN in all that does not count."""
  unpaired = ~(batch['positives'] | batch['negatives'])
  rows = ~batch['mask'][:, None, None]
  return batch | {
    'view_scores': np.where(unpaired, np.nan, batch['view_scores']),
    'input_scores': np.where(unpaired, np.nan, batch['input_scores']),
    'means': np.where(rows, np.nan, batch['means']),
    'log_variances': np.where(rows, np.nan, batch['log_variances']),
  }


def jensen_shannon(scores, batch):
  t = np.float64(scores)
  joint = -np.logaddexp(0.0, -t)[batch['positives']].mean()
  return joint - np.logaddexp(0.0, t)[batch['negatives']].mean()


def divergence(batch):
  """The mean over rows that count of ½ [KL + KL], each by its own formula."""
  m, v = np.float64(batch['means']), np.exp(np.float64(batch['log_variances']))
  rows = []
  for i in np.flatnonzero(batch['mask']):
    both = [
      np.log(v[i, to] / v[i, of])
      + (v[i, of] + (m[i, of] - m[i, to]) ** 2) / v[i, to]
      - 1.0
      for of, to in ((0, 1), (1, 0))
    ]
    rows.append(0.5 * np.sum(0.5 * both[0] + 0.5 * both[1]))
  return np.mean(rows)


def cross_entropy(batch, temperature):
  """Row by row and column by column, of cosines."""
  m = np.float64(batch['means'])
  terms = []
  for i in np.flatnonzero(batch['mask']):
    for view in (0, 1):
      one = m[i, view]
      cosines = [
        one @ other / np.linalg.norm(one) / np.linalg.norm(other) / temperature
        for other in m[:, 1 - view]
      ]
      rivals = np.exp(
        [cosines[j] for j in range(B) if batch['negatives'][i, j]]
      )
      own = np.exp(cosines[i])
      terms.append(-np.log(own / (own + rivals.sum())))
  return np.mean(terms)


EXPECTED = {
  'information_bottleneck': lambda batch: (
    batch['skl_coef'] * divergence(batch)
    - jensen_shannon(batch['view_scores'], batch)
  ),
  'multi_view_information': lambda batch: (
    -jensen_shannon(batch['view_scores'], batch)
  ),
  'info_max': lambda batch: (
    -np.mean(
      [jensen_shannon(scores, batch) for scores in batch['input_scores']]
    )
  ),
  'contrastive': lambda batch: cross_entropy(batch, 0.1),
}
NAMES = tuple(EXPECTED)


def loss_and_slopes(name, batch):
  """A loss and its gradient in each float array that it reads."""
  loss = getattr(multi_view, name)
  read = [x for x in objective.reads(loss) if np.ndim(batch[x]) > 1]
  read = [x for x in read if batch[x].dtype == np.float32]

  def total(floats):
    return objective.evaluate(loss, batch | floats)

  return jax.value_and_grad(total)({x: jnp.asarray(batch[x]) for x in read})


class MultiViewTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(*NAMES)
  def test_matches_definition(self, name):
    loss, batch = getattr(multi_view, name), sample()
    evaluate = self.variant(functools.partial(objective.evaluate, loss))
    found = evaluate(batch)
    self.assertEqual((found.shape, found.dtype), ((), jnp.float32))
    np.testing.assert_allclose(found, EXPECTED[name](batch), rtol=1e-5)

  @parameterized.parameters(*NAMES)
  def test_junk_that_does_not_count_is_inert(self, name):
    clean, clean_slopes = loss_and_slopes(name, sample())
    dirty, dirty_slopes = loss_and_slopes(name, with_junk(sample()))
    np.testing.assert_array_equal(dirty, clean)
    chex.assert_trees_all_equal(dirty_slopes, clean_slopes)

  @parameterized.parameters(*NAMES)
  def test_one_prompt_is_no_loss(self, name):
    batch = sample()
    mask = np.arange(B) == 1
    positives = bottleneck.positive_pairs(mask)
    batch |= {
      'mask': mask,
      'positives': np.asarray(positives),
      'negatives': np.zeros((B, B), bool),
    }
    loss, slopes = loss_and_slopes(name, batch)
    self.assertEqual(float(loss), 0.0)
    self.assertNotEmpty(slopes)
    for slope in slopes.values():
      np.testing.assert_array_equal(slope, 0.0)

  @parameterized.parameters(*NAMES)
  def test_does_not_see_the_order_of_the_prompts(self, name):
    batch, order = sample(), np.array([3, 0, 5, 1, 4, 2])
    shuffled = dict(batch)
    for key in ('view_scores', 'positives', 'negatives'):
      shuffled[key] = batch[key][order][:, order]
    for key in ('means', 'log_variances', 'mask'):
      shuffled[key] = batch[key][order]
    shuffled['input_scores'] = batch['input_scores'][:, order][:, :, order]
    loss = getattr(multi_view, name)
    np.testing.assert_allclose(
      objective.evaluate(loss, shuffled),
      objective.evaluate(loss, batch),
      rtol=1e-5,
    )

  @parameterized.parameters(*NAMES)
  def test_gradients(self, name):
    batch = sample()
    loss = getattr(multi_view, name)
    names = ('view_scores', 'input_scores', 'means', 'log_variances')
    read = [x for x in objective.reads(loss) if x in names]

    def total(*floats):
      given = batch | dict(zip(read, floats, strict=True))
      return objective.evaluate(loss, given)

    check_grads(
      total,
      [batch[x] for x in read],
      order=1,
      modes=['rev'],
      rtol=2e-2,
      atol=2e-2,
    )

  @parameterized.parameters(*NAMES)
  def test_is_not_cut_into_parts(self, name):
    with self.assertRaisesRegex(ValueError, 'set micro_batches to 1'):
      objective.refuse_parts(getattr(multi_view, name), 2)

  @parameterized.parameters(
    ('information_bottleneck', 'log_variances'),
    ('information_bottleneck', 'mask'),
    ('information_bottleneck', 'view_scores'),
    ('multi_view_information', 'view_scores'),
    ('info_max', 'input_scores'),
    ('contrastive', 'positives'),
  )
  def test_refuses_what_would_broadcast(self, name, wrong):
    batch = sample()
    batch[wrong] = batch[wrong][:1]
    with self.assertRaises(AssertionError):
      objective.evaluate(getattr(multi_view, name), batch)


class RelationTest(chex.TestCase):
  def test_without_a_penalty_it_is_multi_view_information(self):
    batch = sample() | {'skl_coef': np.float32(0.0)}
    np.testing.assert_array_equal(
      objective.evaluate(multi_view.information_bottleneck, batch),
      objective.evaluate(multi_view.multi_view_information, batch),
    )

  def test_a_change_of_places_leaves_the_loss(self):
    batch = sample()
    turned = batch | {
      'view_scores': batch['view_scores'].T,
      'means': batch['means'][:, ::-1],
      'log_variances': batch['log_variances'][:, ::-1],
    }
    for name in ('information_bottleneck', 'contrastive'):
      loss = getattr(multi_view, name)
      np.testing.assert_allclose(
        objective.evaluate(loss, turned),
        objective.evaluate(loss, batch),
        rtol=1e-5,
      )

  def test_contrastive_does_not_see_lengths_and_bears_a_view_of_none(self):
    batch = sample()
    given = batch['positives'], batch['negatives']
    plain = multi_view.contrastive(batch['means'], *given)
    lengths = np.exp(np.random.default_rng(1).normal(size=(B, 2, 1)))
    stretched = np.float32(batch['means'] * lengths)
    np.testing.assert_allclose(
      multi_view.contrastive(stretched, *given), plain, rtol=1e-5
    )
    found = jax.value_and_grad(multi_view.contrastive)(
      jnp.zeros((B, 2, d)), *given
    )
    # All cosines are 0: one of 1 + n, n being 3 of two rows and 4 of three.
    np.testing.assert_allclose(found[0], 0.4 * np.log(4) + 0.6 * np.log(5))
    chex.assert_tree_all_finite(found)

  def test_the_penalty_s_slope_is_the_divergence_s(self):
    batch = sample()
    slope = jax.grad(
      lambda coef: objective.evaluate(
        multi_view.information_bottleneck, batch | {'skl_coef': coef}
      )
    )(jnp.float32(0.3))
    np.testing.assert_allclose(slope, divergence(batch), rtol=1e-5)


if __name__ == '__main__':
  absltest.main()
