"""WPO's and OCRM's weights against probabilities written out."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import distributions, pair_weights
from tests import toy

# Two places, three tokens: Σ π² is 0.38 and 0.66.
PROBS = np.array([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]])


class OffPolicyCorrectedTest(chex.TestCase):
  OWN = np.float32([[-200.0, -210.0], [-190.0, -260.0], [-1.0, -2.0]])
  KEPT = np.float32([[-205.0, -205.0], [-240.0, -200.0], [-1.0, -2.0]])

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(share=(0.0, 0.1), flattening=(0.0, 0.01, 0.5))
  def test_matches_its_definition(self, share, flattening):
    p, q = np.exp(self.OWN.astype(float)), np.exp(self.KEPT.astype(float))
    ratios = p / (share * p + (1.0 - share) * q)
    weigh = functools.partial(
      pair_weights.off_policy_corrected, share=share, flattening=flattening
    )
    np.testing.assert_allclose(
      self.variant(weigh)(self.OWN, self.KEPT),
      np.prod(ratios, axis=-1) ** flattening,
      rtol=1e-5,
    )

  def test_a_share_bounds_them(self):
    # Two ratios of at most 1 / a each.
    weights = pair_weights.off_policy_corrected(
      np.zeros((1, 2), np.float32), np.float32([[-900.0, -800.0]]),
      share=0.1, flattening=1.0,
    )  # fmt: skip
    np.testing.assert_allclose(weights, [100.0], rtol=1e-5)

  def test_are_finite_and_constants(self):
    def total(own):
      return pair_weights.off_policy_corrected(
        own, self.KEPT, share=0.0, flattening=100.0
      ).sum()

    value, slope = jax.value_and_grad(total)(jnp.asarray(self.OWN) + 50.0)
    chex.assert_tree_all_finite(value)
    np.testing.assert_array_equal(slope, 0.0)


class PairWeightsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_expected_probability(self):
    logits = (np.log(PROBS) + 7.0).astype(np.float32)  # Shifts cancel.
    actual = self.variant(pair_weights.log_expected_probabilities)(logits)
    np.testing.assert_allclose(np.exp(actual), [0.38, 0.66], rtol=1e-5)

  def test_expected_probability_at_its_bounds(self):
    logits = np.float32([[0.0] * 8, [1e3] + [0.0] * 7])
    actual = pair_weights.log_expected_probabilities(logits)
    np.testing.assert_allclose(actual, [-np.log(8.0), 0.0], atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    """Tokens of 0.3 and 0.8: the geometric mean of 0.3/0.38 and 0.8/0.66."""
    token_logps = np.log(np.float32([[0.3, 0.8, 0.5], [0.5, 0.5, 0.5]]))
    expected = np.log(np.float32([[0.38, 0.66, 0.4], [0.5, 0.5, 0.5]]))
    mask = np.array([[True, True, False], [False] * 3])
    actual = self.variant(pair_weights.response_weights)(
      token_logps, expected, mask
    )
    first = np.sqrt(0.3 / 0.38 * 0.8 / 0.66)
    np.testing.assert_allclose(actual, [first, 1.0], rtol=1e-5)

  def test_is_a_constant(self):
    mask = np.ones((1, 2), bool)

    def total(logits):
      logps = jax.nn.log_softmax(logits)[None, :, 0]
      expected = pair_weights.log_expected_probabilities(logits)[None]
      return jnp.sum(pair_weights.response_weights(logps, expected, mask))

    slopes = jax.grad(total)(np.log(PROBS).astype(np.float32))
    np.testing.assert_array_equal(slopes, 0.0)

  def test_padding_is_inert(self):
    token_logps = np.float32([[-0.3, np.nan]])
    expected = np.float32([[-0.5, np.inf]])
    mask = np.array([[True, False]])
    actual = pair_weights.response_weights(token_logps, expected, mask)
    np.testing.assert_allclose(actual, [np.exp(0.2)], rtol=1e-6)

  def test_refuses_what_would_broadcast(self):
    logps, mask = np.zeros((2, 3), np.float32), np.ones((2, 3), bool)
    for wrong in (logps[:1], logps[:, :1]):
      with self.assertRaises(AssertionError):
        pair_weights.response_weights(logps, wrong, mask)
      with self.assertRaises(AssertionError):
        pair_weights.response_weights(logps, logps, wrong > 0.0)


class PolicyTest(chex.TestCase):
  """What a policy gives to its tokens' alternatives, and in what memory."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_is_of_the_distribution_before_each_token(self):
    params = toy.POLICY.init(jax.random.key(0))
    tokens = np.array([[0, 1, 1, 2], [1, 0, 3, 3]], np.int32)
    mask = tokens != toy.PAD
    found = self.variant(
      functools.partial(pair_weights.next_token_log_expected, toy.POLICY)
    )(params, tokens, mask)
    table = np.exp(np.asarray(params['embedding'], np.float64))
    p = table / table.sum(axis=1, keepdims=True)
    expected = np.log(np.sum(p**2, axis=1))[tokens[:, :-1]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  def test_no_gradient(self):
    def total(params):
      tokens, mask = np.zeros((2, 3), np.int32), np.ones((2, 3), bool)
      found = pair_weights.next_token_log_expected(
        toy.POLICY, params, tokens, mask
      )
      return jnp.sum(found)

    slope = jax.grad(total)(toy.POLICY.init(jax.random.key(0)))
    np.testing.assert_array_equal(slope['embedding'], 0.0)

  def test_logits_are_never_held_all_at_once(self):
    # [8, 256, 65536] logits are 512 MiB; at most 128 MiB are made at a time.
    model = toy.POLICY._replace(
      hidden=lambda params, tokens, mask: params['embedding'][tokens],
      logits=lambda params, hidden: hidden @ params['embedding'].T,
    )
    shape = jax.ShapeDtypeStruct
    read = functools.partial(pair_weights.next_token_log_expected, model)
    compiled = jax.jit(read).lower(
      {'embedding': shape((65536, 4), jnp.float32)},
      shape((8, 256), jnp.int32),
      shape((8, 256), bool),
    ).compile()  # fmt: skip
    held = compiled.memory_analysis().temp_size_in_bytes
    self.assertLess(held, 3 * 4 * distributions.PLAIN_LOGITS)


class OnPolicyTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_is_the_product_over_a_pair(self):
    """Geometric means of √(0.3/0.38 · 0.8/0.66) and of 0.5/0.4."""
    token_logps = np.log(np.float32([[[0.3, 0.8], [0.5, 0.9]]]))
    expected = np.log(np.float32([[[0.38, 0.66], [0.4, 0.1]]]))
    mask = np.array([[[True, True], [True, False]]])
    actual = self.variant(pair_weights.on_policy)(token_logps, expected, mask)
    product = np.sqrt(0.3 / 0.38 * 0.8 / 0.66) * 0.5 / 0.4
    np.testing.assert_allclose(actual, [product], rtol=1e-5)
