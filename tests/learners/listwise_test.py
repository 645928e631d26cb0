"""The listwise learner on a policy whose responses can all be listed."""

import functools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.learners import listwise
from rlhf_jax.losses import listwise as losses
from rlhf_jax.training import state as training
from tests import toy
from tests.learners import definitions, tables

POLICY = toy.POLICY.init(jax.random.key(0))
PARAMS = {'policy': POLICY}
REFERENCE = toy.POLICY.init(jax.random.key(1))

# Three responses to each prompt, then two, then one.
LISTS = (
  (0, [(1, 0, toy.EOS), (0, toy.EOS), (0, 0, 1)]),
  (1, [(toy.EOS,), (1, 1, toy.EOS), (0, 1, toy.EOS)]),
  (1, [(0, 1, 1), (1, toy.EOS)]),
  (0, [(1, 1, 0)]),
)
SCORES = ([2.0, 0.5, -1.0], [1.0, 1.0, 0.25], [0.5, 0.0], [3.0])
RRHF = functools.partial(losses.rrhf, rank_coef=2.0)
PRO = functools.partial(losses.pro, sft_coef=0.1)


def lists(rows=(0, 1, 2, 3), scored=True, **fields):
  """Comparisons of some of the lists, as wide as the longest of them."""
  batch = toy.compared(*zip(*(LISTS[row] for row in rows), strict=True))
  if scored:
    scores = np.zeros(batch.candidate_mask.shape, np.float32)
    for place, row in enumerate(rows):
      scores[place, : len(SCORES[row])] = SCORES[row]
    fields = {'scores': scores} | fields
  return batch.replace(**fields)


def log_probabilities(row):
  """log π [K] and lengths [K] of one of the lists, in numpy."""
  table = np.asarray(POLICY['embedding'], np.float64)
  head, texts = LISTS[row]
  logps = [toy.log_probability(table, head, text) for text in texts]
  return np.array(logps), np.array([len(text) for text in texts])


def rrhf(row, order):
  logps, lengths = log_probabilities(row)
  p, total = logps / lengths, 0.0
  for i in range(len(p)):
    for j in range(len(p)):
      if order[i] < order[j]:
        total += max(0.0, p[i] - p[j])
  return 2.0 * total - logps[0]


def pro(row, scores):
  logps, lengths = log_probabilities(row)
  s, total = logps / lengths, 0.0
  for k in range(len(s) - 1):
    gaps = scores[k] - np.array(scores[k + 1 :])
    best = np.exp(gaps.max() * s[k])
    total -= np.log(best / (best + np.exp(gaps * s[k + 1 :]).sum()))
  return total - 0.1 * (len(s) - 1) ** 2 * logps[0]


def evaluate(objective, batch, *, micro_batches=1):
  """The objective and its gradient, and the metrics."""
  config = listwise.Config(objective=objective, micro_batches=micro_batches)
  slope = training.gradient(listwise.loss, micro_batches=micro_batches)
  slope = jax.jit(functools.partial(slope, models=toy.MODELS, config=config))
  grads, metrics = slope(PARAMS, {}, batch, jax.random.key(2))
  return (metrics['loss/ranking'].value, grads), metrics


class LossTest(parameterized.TestCase):
  @parameterized.parameters((RRHF, rrhf), (PRO, pro))
  def test_is_that_of_the_listed_probabilities(self, objective, definition):
    expected = [definition(row, SCORES[row]) for row in range(4)]
    (value, _), _ = evaluate(objective, lists())
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)
    weight = np.float32([1.0, 0.5, 0.0, 2.0])
    (value, _), _ = evaluate(objective, lists(weight=weight))
    np.testing.assert_allclose(
      value, np.average(expected, weights=weight), rtol=1e-5
    )

  def test_without_scores_the_place_in_the_list_is_the_order(self):
    expected = [rrhf(row, [0, -1, -2]) for row in range(4)]
    (value, _), _ = evaluate(RRHF, lists(scored=False))
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)

  def test_equal_scores_are_no_pair_but_places_are(self):
    (tied, _), _ = evaluate(RRHF, lists([1]))
    (placed, _), _ = evaluate(RRHF, lists([1], scored=False))
    p = np.divide(*log_probabilities(1))
    np.testing.assert_allclose(
      placed - tied, 2.0 * max(0.0, p[1] - p[0]), atol=1e-5
    )

  @parameterized.parameters((RRHF,), (PRO,))
  def test_a_list_that_is_filled_up_is_the_shorter_list(self, objective):
    for row in (0, 2, 3):
      alone = evaluate(objective, lists([row]))
      together = lists(
        [row, 0], weight=np.float32([1.0, 0.0])
      )  # As wide as the longest.
      self.assertEqual(together.candidate_mask.shape[1], 3)
      chex.assert_trees_all_close(
        evaluate(objective, together), alone, atol=1e-6
      )

  @parameterized.parameters((RRHF,), (PRO,))
  def test_what_is_padded_is_inert(self, objective):
    batch = lists()
    scores = np.where(batch.candidate_mask, batch.scores, np.nan)
    junk = np.where(batch.attention_mask, batch.tokens, 77)
    dirty = batch.replace(tokens=junk, scores=scores)
    (value, grads), _ = evaluate(objective, dirty)
    chex.assert_trees_all_equal((value, grads), evaluate(objective, batch)[0])

  @parameterized.product(objective=(RRHF, PRO), parts=(2, 4))
  def test_parts_give_what_the_whole_gives(self, objective, parts):
    chex.assert_trees_all_close(
      evaluate(objective, lists(), micro_batches=parts),
      evaluate(objective, lists()),
      atol=1e-6,
    )

  def test_only_what_the_objective_reads_is_asked(self):
    arrays = listwise.arrays_for(PARAMS, {}, lists(), (), models=toy.MODELS)
    self.assertNotIn('reference_logps', arrays)
    arrays = listwise.arrays_for(
      PARAMS,
      {'reference': REFERENCE},
      lists(),
      ('reference_logps',),
      models=toy.MODELS,
    )
    table = np.asarray(REFERENCE['embedding'], np.float64)
    for row, (head, texts) in enumerate(LISTS):
      expected = [toy.log_probability(table, head, text) for text in texts]
      expected += [0.0] * (3 - len(texts))
      np.testing.assert_allclose(
        arrays['reference_logps'][row], expected, rtol=1e-5
      )

  def test_scores_that_the_data_lack(self):
    with self.assertRaisesRegex(ValueError, 'pro reads scores, and') as raised:
      evaluate(PRO, lists(scored=False))
    self.assertNotIn('\n', str(raised.exception))


class MetricsTest(parameterized.TestCase):
  def test_by_hand(self):
    # After any token: 0 with 1/2, 1 with 1/8, the end with 3/8. So the mean of
    # log π rises with the share of 0, and (1, 1, 1) < (1, end) < (end) < (0,).
    row = np.log([1 / 2, 1 / 8, 3 / 8, 1e-9])
    params = {'embedding': np.tile(np.float32(row), (4, 1))}
    low, mid, high = (1, 1, 1), (1, toy.EOS), (0, 0, 0)
    batch = toy.compared(
      [0, 1, 0, 1, 0],
      [[high, low, mid], [low, high], [mid, mid], [high], [low, high]],
    )
    # Right are high > low and high > mid, not low > mid; a tie is half right.
    # One response is no pair, and the last row only fills the batch.
    batch = batch.replace(weight=np.float32([1, 1, 1, 1, 0]))
    _, metrics = listwise.loss(
      {'policy': params},
      {},
      batch,
      None,
      models=toy.MODELS,
      config=listwise.Config(objective=RRHF),
    )
    np.testing.assert_allclose(
      metrics['accuracy'].value, (2 / 3 + 0 + 1 / 2) / 3, rtol=1e-5
    )
    expected = np.log([1 / 8, 1 / 512, 3 / 64, 1 / 8]).mean()
    np.testing.assert_allclose(metrics['best_logps'].value, expected, rtol=1e-5)
    # Equal scores are no pair: of the first row high > low and high > mid stay.
    scores = np.float32([[2, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    _, metrics = listwise.loss(
      {'policy': params},
      {},
      batch.replace(scores=scores),
      None,
      models=toy.MODELS,
      config=listwise.Config(objective=RRHF),
    )
    self.assertEqual(metrics['accuracy'].value, 1.0)
    self.assertEqual(metrics['accuracy'].weight, 1.0)


END = toy.EOS
TABLE_LISTS = (
  [(1, 0, END), (0, END), (0, 0, 1)],
  [(END,), (1, 1, 0), (0, 1, END)],
  [(0, 0, END)],
  [(1, END), (1, END)],
  [(0, 1, 0), (1, 1, END), (END,)],
  [(0, END), (1, 0, 0), (1, END)],
)
TABLE_SCORES = np.array(
  [[2, 0.5, -1], [1, 1, 0.25], [0.5, 0, 0], [1, 0, 0], [3, 1, 0], [2, 1.5, 1]]
)


def probe(
  policy_logps, reference_logps, lengths, candidate_mask, scores, order
):
  """Reads all that there is, each in a way of its own; numpy or jax."""
  each = 0.3 * (policy_logps - 0.7 * reference_logps) ** 2 + lengths * order
  return (candidate_mask * (each - 0.2 * scores * policy_logps)).sum(-1)


def rrhf_of(arrays, rank_coef, length_exponent=1.0):
  p = arrays['policy_logps'] / np.maximum(arrays['lengths'], 1.0) ** (
    length_exponent
  )
  order, there = arrays['order'], arrays['candidate_mask']
  found = -arrays['policy_logps'][:, 0]
  for row, i, j in np.ndindex(*p.shape, p.shape[1]):
    if there[row, i] and there[row, j] and order[row, i] < order[row, j]:
      found[row] += rank_coef * max(0.0, p[row, i] - p[row, j])
  return found


BOUND = functools.partial(losses.rrhf, rank_coef=2.5, length_exponent=0.5)
# The settings, the objective by definition, and what of the batch is given.
TABLE = {
  'defaults': ({}, functools.partial(rrhf_of, rank_coef=1.0), ()),
  'objective': (
    {'objective': BOUND},
    functools.partial(rrhf_of, rank_coef=2.5, length_exponent=0.5),
    ('scores',),
  ),
  'micro_batches': (
    {'micro_batches': 3},
    functools.partial(rrhf_of, rank_coef=1.0),
    ('scores',),
  ),
  'all': ({'objective': probe}, lambda arrays: probe(**arrays), ('scores',)),
  'kept': (
    {'objective': probe},
    lambda arrays: probe(**arrays),
    ('scores', 'kept'),
  ),
}


class TableTest(parameterized.TestCase):
  """Every setting and every array, by sums over ragged prompts' responses."""

  @parameterized.parameters(*TABLE)
  def test_an_update_is_by_definition(self, name):
    options, of_arrays, given = TABLE[name]
    config = listwise.Config(**options)
    reference = definitions.scored(
      tables.table(tables.REFERENCE), tables.HEADS, TABLE_LISTS
    )
    fields, frozen = {}, {'reference': tables.REFERENCE}
    if 'kept' in given:
      reference = reference + 0.25
      fields['reference_logps'], frozen = tables.float32(reference), {}
    scores = TABLE_SCORES if 'scores' in given else None
    if scores is not None:
      fields['scores'] = tables.float32(scores)
    arrays = {'reference_logps': reference} if config.objective is probe else {}
    grads, metrics, _ = tables.updated(
      listwise,
      config,
      tables.batch(TABLE_LISTS, **fields),
      params={'policy': tables.POLICY},
      frozen=frozen,
    )

    def definition(table):
      return definitions.listwise(
        table,
        tables.HEADS,
        TABLE_LISTS,
        of_arrays,
        weight=tables.WEIGHT,
        arrays=arrays,
        scores=scores,
      )

    tables.hold(
      self,
      (grads['policy']['embedding'], metrics),
      definition(tables.table(tables.POLICY)),
      tables.of_table(definition),
    )

  def test_every_setting_is_here(self):
    configs = [listwise.Config(**options) for options, *_ in TABLE.values()]
    tables.every_field_is_moved(self, listwise.Config, configs)
    names = probe.__code__.co_varnames[: probe.__code__.co_argcount]
    self.assertEqual(set(names), set(listwise.ARRAYS))
