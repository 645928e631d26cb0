"""A pairwise ranker: what it reads, and what its answers cost."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.learners import ranking
from tests import toy
from tests.learners import definitions, tables

HEADS = (0, 1, 1)
PAIRS = (
  [(1, 0, toy.EOS), (0, toy.EOS)],
  [(toy.EOS,), (1, 1, 0)],
  [(0, 0, toy.EOS), (0, 0, toy.EOS)],
)


def pairs(**fields):
  return toy.compared(HEADS, PAIRS, **fields)


def positional(params, tokens, attention_mask):
  """[N, 1] Σₜ sin(a (t + 1)) (token + 1): every order gives another number."""
  assert tokens.shape == attention_mask.shape
  places = jnp.sin(params * (jnp.arange(tokens.shape[1])[None] + 1.0))
  return jnp.sum(places * (tokens + 1.0) * attention_mask, -1, keepdims=True)


MODEL = toy.SCALAR._replace(scores=positional)
MODELS = toy.MODELS._replace(reward=MODEL)
PARAMS = jnp.float32(0.7)


def answer(head, first, second):
  """What the model above says of a prompt and two responses, in numpy."""
  read = np.array([head, *first, *second])
  return np.sin(0.7 * (np.arange(len(read)) + 1.0)) @ (read + 1.0)


def both_orders():
  """[3, 2] log-odds for the preferred one, read first and read last."""
  return np.array(
    [
      [answer(head, a, b), -answer(head, b, a)]
      for head, (a, b) in zip(HEADS, PAIRS, strict=True)
    ]
  )


def swapped(batch):
  return jax.tree.map(lambda x: x[:, ::-1] if x.ndim > 1 else x, batch)


class RankingTest(parameterized.TestCase):
  def test_reads_the_prompt_once_then_one_response_and_the_other(self):
    seen = []

    def scores(params, tokens, attention_mask):
      seen.append((np.asarray(tokens), np.asarray(attention_mask)))
      return jnp.zeros((len(tokens), 1))

    ranking.log_odds(MODEL._replace(scores=scores), None, pairs())
    for (tokens, mask), (head, tail) in zip(
      seen, [(0, 1), (1, 0)], strict=True
    ):
      for row in range(3):
        expected = [HEADS[row], *PAIRS[row][head], *PAIRS[row][tail]]
        np.testing.assert_array_equal(tokens[row][mask[row]], expected)
        # On the left, with no gap.
        np.testing.assert_array_equal(
          mask[row], np.arange(mask.shape[1]) < len(expected)
        )

  def test_nothing_is_cut_off(self):
    # The longest rows that there are: a prompt of 1 and two responses of 3.
    batch = toy.compared([0], [[(1, 0, 1), (0, 0, 1)]])
    orders = ranking.both_orders(MODEL, PARAMS, batch)
    expected = (
      answer(0, *[(1, 0, 1), (0, 0, 1)]),
      -answer(0, (0, 0, 1), (1, 0, 1)),
    )
    np.testing.assert_allclose(np.stack(orders)[:, 0], expected, rtol=1e-5)

  def test_both_orders(self):
    actual = np.stack(ranking.both_orders(MODEL, PARAMS, pairs()), axis=-1)
    np.testing.assert_allclose(actual, both_orders(), rtol=1e-4, atol=1e-5)
    # It does have a favourite place.
    self.assertGreater(np.abs(actual[:, 0] - actual[:, 1]).max(), 1.0)

  def test_log_odds_are_odd(self):
    forth = ranking.log_odds(MODEL, PARAMS, pairs())
    back = ranking.log_odds(MODEL, PARAMS, swapped(pairs()))
    np.testing.assert_allclose(forth, -back, atol=1e-6)
    np.testing.assert_allclose(forth[2], 0.0, atol=1e-6)  # Equal texts.
    np.testing.assert_allclose(
      forth, both_orders().mean(axis=1), rtol=1e-4, atol=1e-5
    )

  def test_loss_and_metrics(self):
    weight = np.float32([1.0, 2.0, 1.0])
    terms, metrics = ranking.loss(
      {'ranker': PARAMS},
      {},
      pairs(weight=weight),
      None,
      models=MODELS,
      config=ranking.Config(),
    )
    # Of 6 readings each is right with σ(log-odds).
    orders = both_orders()
    losses = np.log1p(np.exp(-orders)).mean(axis=1)
    coefficient, mean = terms['preference']
    np.testing.assert_allclose(
      coefficient * mean.value, np.average(losses, weights=weight), rtol=1e-4
    )
    odds = orders.mean(axis=1)
    np.testing.assert_allclose(
      metrics['log_odds'].value, np.average(odds, weights=weight), rtol=1e-4
    )
    right = np.array([odds[0] > 0, odds[1] > 0, 0.5])
    np.testing.assert_allclose(
      metrics['accuracy'].value, np.average(right, weights=weight), rtol=1e-5
    )

  def test_padding_is_inert(self):
    batch = pairs()
    junk = np.where(batch.attention_mask, batch.tokens, 77)
    np.testing.assert_array_equal(
      ranking.log_odds(MODEL, PARAMS, batch.replace(tokens=junk)),
      ranking.log_odds(MODEL, PARAMS, batch),
    )

  def test_lists_are_no_pairs(self):
    with self.assertRaisesRegex(ValueError, 'two responses and these .* 3'):
      ranking.loss(
        {'ranker': PARAMS},
        {},
        toy.ranked_lists(),
        jax.random.key(0),
        models=toy.MODELS,
        config=ranking.Config(),
      )


class TableTest(parameterized.TestCase):
  """The one setting, by what a reader says of both orders."""

  @parameterized.parameters(1, 3)
  def test_an_update_is_by_definition(self, micro_batches):
    grads, metrics, _ = tables.updated(
      ranking,
      ranking.Config(micro_batches=micro_batches),
      tables.batch(),
      params={'ranker': PARAMS},
      frozen={},
      models=MODELS,
    )

    def definition(a):
      def says(head, first, second):
        read = np.array([*head, *first, *second])
        return np.sin(a * (np.arange(len(read)) + 1.0)) @ (read + 1.0)

      return definitions.ranked_by_reader(
        says, tables.HEADS, tables.LISTS, weight=tables.WEIGHT
      )

    tables.hold(
      self,
      (grads['ranker'], metrics),
      definition(0.7),
      _slope(definition),
    )

  def test_every_setting_is_here(self):
    tables.every_field_is_moved(
      self, ranking.Config, [ranking.Config(micro_batches=3)]
    )


def _slope(definition, step=1e-5):
  up, down = (
    definitions.objective_of(definition(a)[0]) for a in (0.7 + step, 0.7 - step)
  )
  return np.array((up - down) / (2.0 * step))
