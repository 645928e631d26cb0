"""A response that nobody could score changes nothing, whatever it says."""

import functools
import math

import chex
import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import scoring
from rlhf_jax.kernels import baselines
from rlhf_jax.methods import dapo, grpo, ppo, raft, reinforce, remax, rloo
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean
from tests import toy

ROW, PLACE = 1, 2  # The response without a score.
WORDS = ((0, 0, 1), (1, 1, 0))  # What it says, in two runs.
METHODS = {
  'ppo': (ppo, ppo.Config),
  'reinforce': (reinforce, reinforce.Config),
  'reinforce_plus_plus': (reinforce, reinforce.reinforce_plus_plus),
  'reinforce_plus_plus_baseline': (
    reinforce,
    reinforce.reinforce_plus_plus_baseline,
  ),
  'remax_paper': (remax, remax.paper),
  'remax_released': (remax, remax.released),
  'rloo': (rloo, rloo.Config),
  'grpo': (grpo, grpo.Config),
  'grpo_batch_scaled': (
    grpo,
    functools.partial(grpo.Config, baseline=baselines.batch_scaled),
  ),
  'dr_grpo': (grpo, grpo.dr_grpo),
  'gspo': (grpo, grpo.gspo),
  'dapo': (dapo, functools.partial(dapo.Config, groups=4)),
  'raft': (raft, raft.Config),
  'raft_overall': (raft, functools.partial(raft.Config, select=raft.overall)),
}
OPTIMIZER = optax.sgd(0.1)


def models(words, score=math.nan):
  """The toy's, but one response says `words`, and `score` is its score."""

  def sampler(*args, **kwargs):
    rollouts = toy.MODELS.sampler.sample(*args, **kwargs)
    if rollouts.tokens.shape[1] <= PLACE:  # ReMax's greedy one.
      return rollouts
    at = ROW, PLACE, slice(toy.LONGEST_PROMPT, None)
    return rollouts.replace(
      tokens=rollouts.tokens.at[at].set(np.array(words)),
      response_mask=rollouts.response_mask.at[at].set(True),
      attention_mask=rollouts.attention_mask.at[at].set(True),
      ended=rollouts.ended.at[ROW, PLACE].set(True),
      logps=rollouts.logps.at[ROW, PLACE].set(-1.0),
    )

  def scorer(frozen, rollouts):
    scores = np.array(toy.MODELS.scorer(frozen, rollouts))
    if scores.shape[1] > PLACE:
      scores[ROW, PLACE] = score
    return scores

  return toy.MODELS._replace(sampler=toy.spy(sampler), scorer=scorer)


def step(name, used):
  """(moved params, metrics of collecting) of one round of a method."""
  method, make = METHODS[name]
  config = make(steps=1, batch_size=4, samples=4, minibatches=1)
  params = toy.POLICY.init(jax.random.key(0))
  frozen = {'reference': toy.POLICY.init(jax.random.key(1))}
  frozen |= {'reward': toy.SCALAR.init(jax.random.key(2))}
  (stage,) = method.stages(config).values()
  start = stage.init(
    jax.random.key(3), {'policy': params}, models=used, config=config
  )
  extra = getattr(config, 'initial_extra', dict)()
  state = training.create(start, OPTIMIZER, extra)
  batch, metrics = method.collect(
    state,
    frozen,
    toy.prompts(4),
    jax.random.key(4),
    models=used,
    config=config,
  )
  moved, _ = method.update(
    state,
    frozen,
    batch,
    jax.random.key(5),
    models=used,
    optimizer=OPTIMIZER,
    config=config,
  )
  metrics = {k: v for k, v in metrics.items() if 'seconds' not in k}
  return moved.params, metrics


@parameterized.named_parameters((name, name) for name in METHODS)
class UnscoredTest(parameterized.TestCase):
  def test_what_it_says_plays_no_part(self, name):
    one, measured = step(name, models(WORDS[0]))
    other, measured_too = step(name, models(WORDS[1]))
    chex.assert_tree_all_finite((one, measured))
    chex.assert_trees_all_close(one, other, atol=1e-6)
    chex.assert_trees_all_close(measured, measured_too, atol=1e-5)
    self.assertEqual(measured['unscored'], Mean(1.0, 16.0))
    # With a score, what it says counts.
    scored, _ = step(name, models(WORDS[0], score=9.0))
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), one, scored)
    self.assertGreater(max(jax.tree.leaves(change)), 1e-5)

  def test_a_round_without_any_score_stops(self, name):
    used = models(WORDS[0])._replace(
      scorer=lambda frozen, rollouts: np.full(rollouts.tokens.shape[:2], np.inf)
    )
    with self.assertRaisesRegex(scoring.ScoringError, 'none of .* has a score'):
      step(name, used)


class GreedyTest(absltest.TestCase):
  def test_a_round_without_any_baseline_stops(self):
    def scorer(frozen, rollouts):
      scores = np.array(toy.MODELS.scorer(frozen, rollouts))
      scores[: 2 if scores.shape[1] > 1 else None] = np.nan
      if scores.shape[1] == 1:
        scores[:2] = 0.0  # Known of those whose samples have no score.
      return scores

    with self.assertRaisesRegex(scoring.ScoringError, 'none of .* has a score'):
      step('remax_paper', toy.MODELS._replace(scorer=scorer))

  def test_a_prompt_without_a_baseline_is_left_out(self):
    def scorer(frozen, rollouts):
      scores = np.array(toy.MODELS.scorer(frozen, rollouts))
      if scores.shape[1] == 1:  # Of the greedy responses, the second one's.
        scores[1] = np.nan
      return scores

    _, metrics = step('remax_paper', toy.MODELS._replace(scorer=scorer))
    self.assertEqual(metrics['unscored'], Mean(4.0, 16.0))
    self.assertEqual(metrics['gap'].weight, 12.0)
    self.assertEqual(metrics['greedy_score'].weight, 3.0)


if __name__ == '__main__':
  absltest.main()
