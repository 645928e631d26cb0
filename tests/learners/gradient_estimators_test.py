"""Gradient estimates, averaged over all that could have been sampled.

Two prompts, asked alike often, whose scores differ by an offset. Each method's
own `shape` and `loss` run on every group of responses that the policy could
give; weighted by their probabilities, the gradients have a mean and a variance
that are exact.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import divergences, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.methods import grpo, reinforce, remax, rloo
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Rollouts, flatten_candidates
from tests import toy

PROMPTS = (0, 1)
OFFSETS = np.array([6.0, -4.0])
BETA = 0.3
RESPONSES = toy.responses()
SCORES = np.linspace(-1.0, 2.0, len(RESPONSES)) ** 2  # Of any prompt.

TABLE = toy.POLICY.init(jax.random.key(3))['embedding']
REFERENCE = toy.POLICY.init(jax.random.key(4))['embedding']


def listed():
  """Every response's tokens, those before them by prompt, and a mask."""
  tokens = np.zeros((len(RESPONSES), toy.LONGEST), int)
  mask = np.zeros(tokens.shape, bool)
  for row, response in enumerate(RESPONSES):
    tokens[row, : len(response)] = response
    mask[row, : len(response)] = True
  heads = np.broadcast_to(
    np.array(PROMPTS)[:, None, None], (len(PROMPTS), len(RESPONSES), 1)
  )
  later = np.broadcast_to(tokens[:, :-1], (len(PROMPTS), *tokens[:, 1:].shape))
  before = np.concatenate([heads, later], axis=-1)
  return np.broadcast_to(tokens, before.shape), before, mask


TOKENS, BEFORE, MASK = listed()


def token_logps(table):
  """[prompts, responses, R] log-probs of all responses' tokens, 0 after."""
  return jax.nn.log_softmax(table)[BEFORE, TOKENS] * MASK[None]


@jax.grad
def gradient_of_objective(table, beta):
  """∇ E[score − β KL], by summing over every response."""
  logps = token_logps(table).sum(axis=-1)
  kl = logps - token_logps(REFERENCE).sum(axis=-1)
  worth = SCORES[None] + OFFSETS[:, None] - beta * kl
  return (jnp.exp(logps) * worth).sum(axis=-1).mean()


@jax.grad
def gradient_of_squares(table):
  """The mean slope of Σₜ (log-ratio of t)² / 2, the probabilities held."""
  fixed = np.exp(token_logps(TABLE).sum(axis=-1))
  squares = (token_logps(table) - token_logps(REFERENCE)) ** 2
  return (fixed * squares.sum(axis=-1) / 2).sum(axis=-1).mean()


def exact(beta):
  return np.asarray(gradient_of_objective(TABLE, beta))


def every_group(samples):
  """All groups of so many responses to either prompt, and how probable each is.

  Returns (Rollouts [B, K, T], scores [B, K], weights [B]).
  """
  chosen = np.array(
    list(itertools.product(range(len(RESPONSES)), repeat=samples))
  )
  rollouts, scores, weights = [], [], []
  for prompt, offset in zip(PROMPTS, OFFSETS, strict=True):
    whole = toy.all_rollouts(prompt)
    rollouts.append(
      jax.tree.map(
        lambda x: np.asarray(x)[0][chosen], whole.replace(index=None)
      )
    )
    each = np.array(
      [toy.probability(np.asarray(TABLE), prompt, r) for r in RESPONSES]
    )
    scores.append((SCORES + offset)[chosen])
    weights.append(each[chosen].prod(axis=-1) / len(PROMPTS))
  rollouts: Rollouts = jax.tree.map(lambda *x: np.concatenate(x), *rollouts)
  scores, weights = np.concatenate(scores), np.concatenate(weights)
  index = np.arange(len(weights), dtype=np.int32)
  return (
    rollouts.replace(index=index),
    jnp.asarray(scores, jnp.float32),
    weights,
  )


def greedy_scores(groups):
  """[B] the score of the response that takes the likeliest token each time."""
  best = {}
  for prompt, offset in zip(PROMPTS, OFFSETS, strict=True):
    before, response = prompt, []
    while len(response) < toy.LONGEST and before != toy.EOS:
      before = int(np.argmax(TABLE[before]))
      response.append(before)
    best[prompt] = SCORES[RESPONSES.index(tuple(response))] + offset
  return jnp.array([best[p] for p in groups.tokens[:, 0, 0]], jnp.float32)


def estimates(method, config, samples, scores_less=0.0):
  """The gradient that each group gives, [B, V, V], and its probability [B]."""
  rollouts, scores, weights = every_group(samples)
  extra = (greedy_scores(rollouts) - scores_less,) if method is remax else ()
  params, frozen = (
    {'policy': {'embedding': TABLE}},
    {'reference': {'embedding': REFERENCE}},
  )
  batch, _ = jitted(method.shape)(
    params,
    frozen,
    rollouts,
    scores - scores_less,
    *extra,
    models=toy.MODELS,
    config=config,
  )
  slope = training.gradient(method.loss)

  @jax.jit
  @jax.vmap
  def of_group(group):
    group = jax.tree.map(lambda x: x[None], group)
    rest = flatten_candidates(group.replace(rollouts=None))
    flat = rest.replace(
      rollouts=policy_gradient.flatten_rollouts(group.rollouts)
    )
    grads, _ = slope(
      params, frozen, flat, jax.random.key(0), models=toy.MODELS, config=config
    )
    return -grads['policy']['embedding']

  return np.asarray(of_group(batch), np.float64), weights


def mean(gradients, weights):
  """[V, V]."""
  return np.einsum('b,bij->ij', weights, gradients)


def variance(gradients, weights):
  """The sum of all entries' variances, at a given prompt; mean over prompts."""
  total = 0.0
  for own, share in zip(
    np.split(gradients, len(PROMPTS)),
    np.split(weights, len(PROMPTS)),
    strict=True,
  ):
    centre = mean(own, share / share.sum())
    total += share @ ((own - centre) ** 2).sum(axis=(1, 2))
  return total


def config_of(make, **changes):
  """No penalties of its own, sums over tokens, so that the mean is exact."""
  base = {'steps': 1, 'reduction': masking.sequence_sum, 'kl_coef': 0.0}
  return make(**(base | changes))


class UnbiasedTest(parameterized.TestCase):
  def test_every_group_is_there(self):
    for samples in (1, 2):
      _, _, weights = every_group(samples)
      self.assertLen(weights, len(PROMPTS) * len(RESPONSES) ** samples)
      self.assertAlmostEqual(weights.sum(), 1.0, places=6)

  @parameterized.product(
    case=(
      ('reinforce', reinforce, reinforce.Config, 1),
      ('remax', remax, remax.paper, 1),
      ('rloo', rloo, functools.partial(rloo.Config, samples=2), 2),
    ),
    kl_coef=(0.0, BETA),
  )
  def test_the_mean_is_the_gradient_of_score_less_kl(self, case, kl_coef):
    _, method, make, samples = case
    config = config_of(make, kl_coef=kl_coef)
    found = mean(*estimates(method, config, samples))
    np.testing.assert_allclose(found, exact(kl_coef), atol=2e-5)

  def test_the_kl_is_large_enough_to_be_missed(self):
    self.assertGreater(np.abs(exact(BETA) - exact(0.0)).max(), 0.01)

  def test_a_kl_of_the_token_alone_is_biased(self):
    # One-step returns descend on the squares of the log-ratios instead.
    config = config_of(remax.paper, returns=remax.one_step, kl_coef=BETA)
    found = mean(*estimates(remax, config, 1))
    squares = gradient_of_squares(TABLE)
    np.testing.assert_allclose(found, exact(0.0) - BETA * squares, atol=2e-5)
    self.assertGreater(np.abs(found - exact(BETA)).max(), 0.01)

  def test_a_kl_of_the_token_alone_is_the_loss_k2(self):
    in_reward = config_of(remax.paper, returns=remax.one_step, kl_coef=BETA)
    in_loss = config_of(
      remax.paper, reference_objective=divergences.k2, reference_coef=BETA
    )
    gradients, _ = estimates(remax, in_reward, 1)
    same, _ = estimates(remax, in_loss, 1)
    np.testing.assert_allclose(gradients, same, atol=2e-5)

  def test_a_group_mean_with_the_sample_itself_shrinks_the_gradient(self):
    # Of two, by 1/2: the reason for leaving one out.
    config = config_of(grpo.dr_grpo, samples=2, reduction=masking.sequence_sum)
    found = mean(*estimates(grpo, config, 2))
    np.testing.assert_allclose(found, exact(0.0) / 2, atol=2e-5)


class VarianceTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.plain = self.variance(reinforce, reinforce.Config, 1)

  def variance(self, method, make, samples, **options):
    """Of one sample's estimate: as many samples give the same share less."""
    found = estimates(method, config_of(make), samples, **options)
    return samples * variance(*found)

  def test_a_mean_of_two_samples_halves_the_variance(self):
    pairs = self.variance(reinforce, reinforce.Config, 2)
    self.assertAlmostEqual(pairs / self.plain, 1.0, places=4)

  def test_a_greedy_baseline_takes_the_offsets_variance_away(self):
    greedy = self.variance(remax, remax.paper, 1)
    self.assertLess(greedy, 0.2 * self.plain)
    # Nothing is left of what all scores share, whatever it is.
    shifted = self.variance(remax, remax.paper, 1, scores_less=100.0)
    self.assertAlmostEqual(shifted / greedy, 1.0, places=3)
    self.assertGreater(
      self.variance(reinforce, reinforce.Config, 1, scores_less=100.0),
      100.0 * self.plain,
    )

  def test_leaving_one_out_does_too_at_equal_numbers_of_samples(self):
    make = functools.partial(rloo.Config, samples=2)
    left_out = self.variance(rloo, make, 2)
    self.assertLess(left_out, 0.2 * self.plain)
    shifted = self.variance(rloo, make, 2, scores_less=100.0)
    self.assertAlmostEqual(shifted / left_out, 1.0, places=3)


if __name__ == '__main__':
  absltest.main()
