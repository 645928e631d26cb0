"""What DPO ends at: π*(y) = π_ref(y) exp(r(y) / β) / Z, response by response.

Preferences are Bradley–Terry's for a known reward, exactly: every ordered pair
of responses, weighted by how probable it is that people give it. The reward is
one for which π* is itself a bigram policy, so that the toy policy can reach it.

Source: Rafailov et al. 2023, eqs. 4 to 7.
"""

import functools
import itertools

import jax
import numpy as np
import optax
from absl.testing import parameterized

from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.training import state as training
from tests import toy

BETA = 0.5
REFERENCE = toy.POLICY.init(jax.random.key(5))
TARGET = toy.POLICY.init(jax.random.key(6))
RESPONSES = toy.responses()


def law(params):
  """π [2, 15] of every response to the prompts 0 and 1, in numpy."""
  table = np.asarray(params['embedding'], np.float64)
  return np.array(
    [[toy.probability(table, x, y) for y in RESPONSES] for x in toy.WORDS]
  )


# What prompts are worth by themselves tells no two responses apart.
SCORES = BETA * np.log(law(TARGET) / law(REFERENCE)) + [[3.0], [-1.0]]


def optimal():
  """π* [2, 15] by its definition; nothing here knows that it is TARGET."""
  tilted = law(REFERENCE) * np.exp(SCORES / BETA)
  return tilted / tilted.sum(axis=1, keepdims=True)


def all_pairs(flip_rate=0.0):
  """Every ordered pair to both prompts, weighted by how often it is given.

  Args:
    flip_rate: share of the labels that are turned round.
  """
  heads, pairs, scores, weight = [], [], [], []
  for x in toy.WORDS:
    for a, b in itertools.permutations(range(len(RESPONSES)), 2):
      heads.append(x)
      pairs.append([RESPONSES[a], RESPONSES[b]])
      scores.append([SCORES[x, a], SCORES[x, b]])
      better = np.exp(SCORES[x, a])
      share = better / (better + np.exp(SCORES[x, b]))
      weight.append((1.0 - flip_rate) * share + flip_rate * (1.0 - share))
  return toy.compared(
    heads, pairs, scores=np.float32(scores), weight=np.float32(weight)
  )


def config(function, **options):
  return pairwise.Config(objective=functools.partial(function, **options))


def train(policy, batch, config, *, steps, rate):
  """The policy after steps of the learner's own update on one batch."""
  optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

  @jax.jit
  def run(state):
    def step(state, _):
      state, _ = pairwise.update(
        state,
        {'reference': REFERENCE},
        batch,
        jax.random.key(0),
        models=toy.MODELS,
        optimizer=optimizer,
        config=config,
      )
      return state, None

    return jax.lax.scan(step, state, length=steps)[0]

  return run(training.create({'policy': policy}, optimizer)).params['policy']


class OptimumTest(parameterized.TestCase):
  def test_the_reward_is_no_triviality(self):
    self.assertGreater(np.ptp(SCORES[0]), 1.0)
    self.assertGreater(
      0.5 * np.abs(optimal() - law(REFERENCE)).sum(1).min(), 0.2
    )

  def test_dpo_reaches_it(self):
    start = toy.POLICY.init(jax.random.key(8))
    trained = train(
      start, all_pairs(), config(losses.dpo, beta=BETA), steps=800, rate=0.1
    )
    np.testing.assert_allclose(law(trained), optimal(), atol=1e-3)

  # Whether π* has no slope: the objective is least there, on such pairs.
  @parameterized.named_parameters(
    ('dpo', losses.dpo, {}, 0.0, True),
    ('dpo_of_flipped_pairs', losses.dpo, {}, 0.2, False),
    ('dpo_smoothed', losses.dpo, {'label_smoothing': 0.2}, 0.0, False),
    ('robust_dpo', losses.robust_dpo, {'flip_rate': 0.2}, 0.2, True),
    ('ipo', losses.ipo_sum, {}, 0.0, False),
    ('hinge', losses.hinge_norm, {}, 0.0, False),
    ('told_the_scores', losses.rpo_backward_kl, {}, 0.0, True),
    ('told_the_scores_squared', losses.rpo_sq, {}, 0.0, True),
  )
  def test_is_where_the_objective_is_least(
    self, function, options, flip_rate, holds
  ):
    chosen = config(function, beta=BETA, **options)
    norm = self.slope(chosen, all_pairs(flip_rate))
    if holds:
      self.assertLess(norm, 1e-5)
    else:
      self.assertGreater(norm, 1e-2)

  def test_another_beta_ends_elsewhere(self):
    chosen = config(losses.dpo, beta=2.0 * BETA)
    self.assertGreater(self.slope(chosen, all_pairs()), 1e-2)

  def slope(self, config, batch):
    """The norm of the gradient at π*."""
    slope = functools.partial(
      training.gradient(pairwise.loss), models=toy.MODELS, config=config
    )
    frozen = {'reference': REFERENCE}
    grads, _ = jax.jit(slope)(
      {'policy': TARGET}, frozen, batch, jax.random.key(0)
    )
    return optax.tree.norm(grads)


class CertainPairTest(parameterized.TestCase):
  """A pair that is always given the same way round."""

  def gap(self, **options):
    batch = toy.compared([0], [[(0, toy.EOS), (1, toy.EOS)]])
    chosen = config(losses.dpo, beta=BETA, **options)
    trained = train(REFERENCE, batch, chosen, steps=400, rate=0.1)
    arrays = pairwise.arrays_for(
      {'policy': trained},
      {'reference': REFERENCE},
      batch,
      pairwise.REFERENCE,
      models=toy.MODELS,
      config=chosen,
    )
    kept = [
      float(arrays[n][0]) for n in (*pairwise.POLICY, *pairwise.REFERENCE)
    ]
    return kept[0] - kept[1] - (kept[2] - kept[3])

  @parameterized.parameters(0.1, 0.25)
  def test_smoothing_keeps_its_gap_finite(self, noise):
    expected = np.log((1.0 - noise) / noise) / BETA
    np.testing.assert_allclose(
      self.gap(label_smoothing=noise), expected, rtol=1e-3
    )

  def test_without_it_the_gap_goes_on_growing(self):
    self.assertGreater(self.gap(), 2.0 * np.log(0.9 / 0.1) / BETA)
