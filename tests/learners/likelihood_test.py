"""Maximum likelihood with weights, against its definition in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import masking
from rlhf_jax.learners import likelihood
from rlhf_jax.training import state as training
from tests import toy
from tests.learners import definitions, tables

ROWS = 6


class WeightsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.params = {'policy': toy.POLICY.init(jax.random.key(0))}
    self.batch = toy.demonstrations(ROWS, seed=3)
    self.weight = np.linspace(0.0, 2.0, ROWS).astype(np.float32)
    table = np.asarray(self.params['policy']['embedding'], np.float64)
    self.sums, self.lengths = [], []
    for tokens, mask in zip(
      self.batch.tokens, self.batch.response_mask, strict=True
    ):
      response = tokens[mask].tolist()
      before = int(tokens[np.argmax(mask) - 1])
      self.sums.append(-toy.log_probability(table, before, response))
      self.lengths.append(len(response))
    self.sums, self.lengths = np.array(self.sums), np.array(self.lengths)

  def value(self, weight=None, **config):
    terms, metrics = likelihood.loss(
      self.params,
      {},
      self.batch.replace(weight=weight),
      None,
      models=toy.MODELS,
      config=likelihood.Config(**config),
    )
    return float(training.objective(terms)), metrics

  def test_by_definition(self):
    w, sums, lengths = self.weight, self.sums, self.lengths
    expected = {
      (masking.token_mean, likelihood.self_normalised): (w @ sums)
      / (w @ lengths),
      (masking.token_mean, likelihood.unnormalised): w @ sums / lengths.sum(),
      (masking.sequence_mean, likelihood.self_normalised): (
        w @ (sums / lengths) / w.sum()
      ),
      (masking.sequence_mean, likelihood.unnormalised): (
        w @ (sums / lengths) / ROWS
      ),
      (masking.sequence_sum, likelihood.self_normalised): w @ sums / w.sum(),
    }
    for (reduction, weighing), value in expected.items():
      found, _ = self.value(w, reduction=reduction, weighing=weighing)
      self.assertAlmostEqual(found, value, 5)

  @parameterized.parameters(
    masking.token_mean, masking.sequence_mean, masking.sequence_sum
  )
  def test_equal_weights_are_none(self, reduction):
    plain, _ = self.value(reduction=reduction)
    equal = np.full(ROWS, 0.7, np.float32)
    self.assertAlmostEqual(self.value(equal, reduction=reduction)[0], plain, 5)

  def test_the_effective_share(self):
    w = np.asarray(self.weight, np.float64)
    _, metrics = self.value(self.weight)
    self.assertAlmostEqual(
      float(metrics['effective_share'].value),
      w.sum() ** 2 / (w**2).sum() / ROWS,
      5,
    )
    alone = np.eye(ROWS, dtype=np.float32)[2]
    _, metrics = self.value(alone)
    self.assertAlmostEqual(float(metrics['effective_share'].value), 1 / ROWS, 6)
    self.assertNotIn('effective_share', self.value()[1])

  def test_micro_batches_are_one_batch(self):
    batch = self.batch.replace(weight=jnp.asarray(self.weight))

    def grads(parts):
      return training.gradient(likelihood.loss, micro_batches=parts)(
        self.params,
        {},
        batch,
        None,
        models=toy.MODELS,
        config=likelihood.Config(),
      )[0]

    whole, cut = (grads(k)['policy']['embedding'] for k in (1, 3))
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    self.assertGreater(np.abs(whole).max(), 0.01)


END = toy.EOS
# One response is missing: its prompt alone teaches nothing.
TEXTS = ((1, 0, END), (0, 0, 1), (END,), (), (1, END), (0, 1, 0))
WEIGHT = np.array([1.0, 0.5, 2.0, 1.5, 0.0, 3.0])
FIXED = functools.partial(masking.fixed_length, length=5)
# Each setting away from its default alone, then all together.
CASES = {
  'defaults': ({}, None, {'reduction': 'token_mean'}),
  'weights': ({}, WEIGHT, {'reduction': 'token_mean'}),
  'reduction': (
    {'reduction': masking.sequence_mean},
    None,
    {'reduction': 'sequence_mean'},
  ),
  'fixed': ({'reduction': FIXED}, None, {'reduction': 'fixed_length'}),
  'weighing': (
    {'weighing': likelihood.unnormalised},
    WEIGHT,
    {'reduction': 'token_mean', 'weighing': 'unnormalised'},
  ),
  'micro_batches': ({'micro_batches': 2}, None, {'reduction': 'token_mean'}),
  'all': (
    {
      'reduction': masking.sequence_sum,
      'weighing': likelihood.unnormalised,
    },
    WEIGHT,
    {'reduction': 'sequence_sum', 'weighing': 'unnormalised'},
  ),
}


class TableTest(parameterized.TestCase):
  """Every setting, by sums over the responses alone of ragged prompts."""

  @parameterized.parameters(*CASES)
  def test_an_update_is_by_definition(self, name):
    options, weight, said = CASES[name]
    fields = {} if weight is None else {'weight': tables.float32(weight)}
    grads, metrics, _ = tables.updated(
      likelihood,
      likelihood.Config(**options),
      tables.demonstrations(TEXTS, **fields),
      params={'policy': tables.POLICY},
      frozen={},
    )

    def definition(table):
      return definitions.likelihood(
        table, tables.HEADS, TEXTS, weight=weight, length=5, **said
      )

    tables.hold(
      self,
      (grads['policy']['embedding'], metrics),
      definition(tables.table(tables.POLICY)),
      tables.of_table(definition),
    )

  def test_every_setting_is_here(self):
    configs = [likelihood.Config(**options) for options, *_ in CASES.values()]
    tables.every_field_is_moved(self, likelihood.Config, configs)

  def test_segments_of_a_packed_row_are_told_to_the_policy(self):
    # A policy whose logits are as many times larger as the segment's number.
    def hidden(
      params, tokens, attention_mask, positions=None, segment_ids=None
    ):
      known = toy.POLICY.hidden(params, tokens, attention_mask)
      return known * segment_ids[..., None]

    models = toy.MODELS._replace(policy=toy.POLICY._replace(hidden=hidden))
    tokens = np.array([[0, 1, END, 1, 1, 0]], np.int32)
    segments = np.array([[1, 1, 1, 2, 2, 2]], np.int32)
    terms, _ = likelihood.loss(
      {'policy': tables.POLICY},
      {},
      toy.Demonstrations(
        tokens=tokens,
        attention_mask=segments > 0,
        response_mask=np.array([[0, 1, 1, 0, 1, 1]], bool),
        segment_ids=segments,
      ),
      None,
      models=models,
      config=likelihood.Config(),
    )
    table = tables.table(tables.POLICY)
    expected = definitions.logp(table, 0, (1, END))
    expected += definitions.logp(2.0 * table, 1, (1, 0))
    np.testing.assert_allclose(
      terms['likelihood'][1].value, -expected / 4.0, rtol=1e-5
    )


if __name__ == '__main__':
  absltest.main()
