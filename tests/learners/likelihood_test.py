"""Maximum likelihood with weights, against its definition in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import masking
from rlhf_jax.learners import likelihood
from rlhf_jax.training import state as training
from tests import toy

ROWS = 6


class WeightsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.params = toy.POLICY.init(jax.random.key(0))
    self.batch = toy.demonstrations(ROWS, seed=3)
    self.weight = np.linspace(0.0, 2.0, ROWS).astype(np.float32)
    table = np.asarray(self.params['embedding'], np.float64)
    self.sums, self.lengths = [], []
    for tokens, mask in zip(
      self.batch.tokens, self.batch.response_mask, strict=True
    ):
      response = tokens[mask].tolist()
      self.sums.append(-toy.log_probability(table, int(tokens[0]), response))
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

    whole, cut = grads(1)['embedding'], grads(3)['embedding']
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    self.assertGreater(np.abs(whole).max(), 0.01)


if __name__ == '__main__':
  absltest.main()
