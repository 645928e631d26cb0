"""OCRM: what a pair weighs by two policies, and how much such pairs say."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.methods import ocrm
from rlhf_jax.types import Comparison
from tests.methods.fake_queries import FakeQueries, prompt

# Log-probs of each text under the policy of now and under SFT's, in nats.
LOGPS = {
  'policy': {'a': -190.0, 'b': -230.0, 'c': -200.0, 'd': -210.0},
  'reference': {'a': -220.0, 'b': -200.0, 'c': -200.0, 'd': -240.0},
}
RECORDS = [
  Comparison(prompt('one'), ('a', 'd'), margin=0.5),
  Comparison(prompt('two'), ('b', 'c'), weight=0.5),
  Comparison(prompt('three'), ('c', 'c')),
]


def weighed(records=RECORDS, **options):
  fake = FakeQueries(response_logp=lambda role, text: LOGPS[role][text])
  return ocrm.build(records, fake.queries, config=ocrm.Config(**options))


def by_definition(share, flattening):
  """exp(η Σ log π / (a π + (1 − a) π_SFT)), in float64."""
  found = []
  for record in RECORDS:
    own, kept = (
      np.exp([LOGPS[role][text] for text in record.responses])
      for role in ('policy', 'reference')
    )
    ratios = own / (share * own + (1.0 - share) * kept)
    found.append(math.prod(ratios) ** flattening)
  return np.array(found)


class WriteTest(parameterized.TestCase):
  @parameterized.parameters((0.0, 0.01), (0.1, 0.01), (0.1, 0.5))
  def test_a_weight_is_the_flattened_ratio_of_the_pair(self, share, flattening):
    made = weighed(share=share, flattening=flattening).records
    expected = by_definition(share, flattening) * [1.0, 0.5, 1.0]
    np.testing.assert_allclose([m.weight for m in made], expected, rtol=1e-5)

  def test_nothing_else_changes(self):
    made = weighed(flattening=0.0)
    self.assertEqual(made.records, RECORDS)
    self.assertEqual(made.facts['effective_pairs'], 3.0)

  def test_how_many_pairs_are_left(self):
    facts = weighed(share=0.1, flattening=0.5).facts
    weights = by_definition(0.1, 0.5)
    effective = weights.sum() ** 2 / (weights**2).sum()
    expected = {
      'effective_pairs': effective,
      'effective_share': effective / 3,
      'smallest_weight': weights.min(),
      'largest_weight': weights.max(),
    }
    self.assertEqual(facts.keys(), expected.keys())
    for name, value in expected.items():
      np.testing.assert_allclose(facts[name], value, rtol=1e-5, err_msg=name)

  def test_weights_over_their_mean(self):
    made = weighed(flattening=0.5, normalise=ocrm.of_mean_one)
    weights = by_definition(0.1, 0.5)
    np.testing.assert_allclose(
      [m.weight / r.weight for m, r in zip(made, RECORDS, strict=True)],
      3.0 * weights / weights.sum(),
      rtol=1e-5,
    )

  def test_lists_are_refused(self):
    records = [Comparison(prompt('four'), ('a', 'b', 'c'))]
    with self.assertRaisesRegex(ValueError, 'f:1: pairs .* has 3 responses'):
      weighed(records)

  @parameterized.parameters('count', 'batch_size')
  def test_all_are_weighed_at_once(self, field):
    with self.assertRaisesRegex(ValueError, f'{field} is 8; .* leave it None'):
      ocrm.Config(**{field: 8})


if __name__ == '__main__':
  absltest.main()
