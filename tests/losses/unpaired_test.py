"""Objectives over single responses against their equations in numpy."""

import functools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import objective, unpaired


def sample(seed=0):
  """Log-probs [6] of policy and reference, and which are desirable."""
  rng = np.random.default_rng(seed)
  policy, reference = rng.normal(-8.0, 3.0, (2, 6)).astype(np.float32)
  return policy, reference, np.arange(6) % 3 < 2


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def kto_by_definition(policy, reference, desirable, kl, beta, w_plus, w_minus):
  """λ_y − v of the paper, example by example."""
  losses = []
  for log_ratio, wanted in zip(policy - reference, desirable, strict=True):
    if wanted:
      losses.append(w_plus - w_plus * sigmoid(beta * (log_ratio - kl)))
    else:
      losses.append(w_minus - w_minus * sigmoid(beta * (kl - log_ratio)))
  return losses


def classifier_by_definition(policy, reference, desirable, delta, beta):
  """−log of the probability that a classifier gives to the right label."""
  probability = sigmoid(beta * (policy - reference - delta))
  return -np.log(np.where(desirable, probability, 1.0 - probability))


OBJECTIVES = {
  'kto': (functools.partial(unpaired.kto, beta=0.2), (0.4,)),
  'bco': (functools.partial(unpaired.bco, beta=0.2), (0.4,)),
  'apo_zero': (functools.partial(unpaired.apo_zero_unpaired, beta=0.2), ()),
}


class UnpairedTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(kl=(0.0, 0.7), weights=((1.0, 1.0), (1.33, 0.5)))
  def test_kto_matches_definition(self, kl, weights):
    options = {'desirable_weight': weights[0], 'undesirable_weight': weights[1]}
    function = functools.partial(unpaired.kto, beta=0.3, **options)
    actual = self.variant(function)(*sample(), np.float32(kl))
    expected = kto_by_definition(*sample(), kl, 0.3, *weights)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(-1.5, 0.0, 0.7)
  def test_bco_matches_definition(self, delta):
    function = functools.partial(unpaired.bco, beta=0.3)
    actual = self.variant(function)(*sample(), np.float32(delta))
    expected = classifier_by_definition(*sample(), delta, 0.3)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters((1.0, 1.0), (1.33, 0.5))
  def test_apo_zero_matches_definition(self, *weights):
    options = {'desirable_weight': weights[0], 'undesirable_weight': weights[1]}
    function = functools.partial(
      unpaired.apo_zero_unpaired, beta=0.3, **options
    )
    policy, reference, desirable = sample()
    right = sigmoid(0.3 * (policy - reference))
    expected = np.where(
      desirable, weights[0] * (1.0 - right), weights[1] * right
    )
    actual = self.variant(function)(policy, reference, desirable)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_worked_numbers(self):
    # Log-ratios 2 and 2, z = δ = 1 and β = 1/2, so that β (ρ − z) = 1/2.
    arrays = np.float32([-3, -3]), np.float32([-5, -5]), np.array([True, False])
    np.testing.assert_allclose(
      unpaired.kto(*arrays, 1.0, beta=0.5), [0.377541, 0.622459], atol=1e-6
    )
    np.testing.assert_allclose(
      unpaired.bco(*arrays, 1.0, beta=0.5), [0.474077, 0.974077], atol=1e-6
    )
    np.testing.assert_allclose(  # β ρ = 1.
      unpaired.apo_zero_unpaired(*arrays, beta=0.5),
      [0.268941, 0.731059],
      atol=1e-6,
    )

  def test_at_the_reference_nothing_is_known(self):
    policy, _, desirable = sample()
    arrays = policy, policy, desirable
    np.testing.assert_allclose(unpaired.kto(*arrays, 0.0, beta=0.3), 0.5)
    np.testing.assert_allclose(
      unpaired.bco(*arrays, 0.0, beta=0.3), np.log(2.0), rtol=1e-6
    )
    np.testing.assert_allclose(
      unpaired.apo_zero_unpaired(*arrays, beta=0.3), 0.5
    )

  @parameterized.parameters(*OBJECTIVES)
  def test_pushes_what_is_desirable_up_and_the_rest_down(self, name):
    function, baseline = OBJECTIVES[name]
    slopes = jax.grad(lambda policy, *rest: function(policy, *rest).sum())(
      *sample(), *baseline
    )
    _, _, desirable = sample()
    np.testing.assert_array_equal(np.sign(slopes), np.where(desirable, -1, 1))

  @parameterized.parameters('kto', 'bco')
  def test_the_baseline_is_a_constant(self, name):
    function, _ = OBJECTIVES[name]

    def total(baseline):
      return function(*sample(), baseline).sum()

    self.assertEqual(jax.grad(total)(0.4), 0.0)
    # Though the losses do depend on it.
    self.assertGreater(abs(total(0.4) - total(0.0)), 1e-3)

  @parameterized.parameters(*OBJECTIVES)
  def test_gradients(self, name):
    function, baseline = OBJECTIVES[name]
    policy, reference, desirable = sample()

    def losses(policy, reference):
      return function(policy, reference, desirable, *baseline)

    jax.test_util.check_grads(
      losses, (policy, reference), 1, ['rev'], rtol=2e-2
    )

  @parameterized.product(name=tuple(OBJECTIVES), size=(-1e3, 1e3))
  def test_nothing_overflows(self, name, size):
    function, baseline = OBJECTIVES[name]
    arrays = np.float32([size] * 2), np.float32([0.0] * 2)
    chex.assert_tree_all_finite(
      jax.vjp(
        lambda *logps: function(*logps, np.array([True, False]), *baseline),
        *arrays,
      )[1](np.ones(2, np.float32))
    )
    chex.assert_tree_all_finite(
      function(*arrays, np.array([True, False]), *baseline)
    )

  @parameterized.parameters(*OBJECTIVES)
  def test_takes_any_leading_axes(self, name):
    function, baseline = OBJECTIVES[name]
    folded = function(*(x.reshape(3, 2) for x in sample()), *baseline)
    np.testing.assert_allclose(
      folded.reshape(6), function(*sample(), *baseline), rtol=1e-6
    )

  @parameterized.parameters(*OBJECTIVES)
  def test_refuses_what_would_broadcast(self, name):
    function, baseline = OBJECTIVES[name]
    policy, reference, desirable = sample()
    with self.assertRaises(AssertionError):
      function(policy, reference[:1], desirable, *baseline)
    with self.assertRaises(AssertionError):
      function(policy, reference, desirable[:1], *baseline)
    with self.assertRaises(AssertionError):
      function(policy, reference, desirable.astype(np.float32), *baseline)
    if baseline:
      with self.assertRaises(AssertionError):
        function(policy, reference, desirable, np.zeros(6, np.float32))

  def test_those_with_a_baseline_refuse_micro_batches(self):
    for name in ('kto', 'bco'):
      with self.assertRaisesRegex(ValueError, f'{name} compares .* 2 micro'):
        objective.refuse_parts(OBJECTIVES[name][0], 2)
      objective.refuse_parts(OBJECTIVES[name][0], 1)
    objective.refuse_parts(OBJECTIVES['apo_zero'][0], 2)
