"""ReMax: the greedy baseline, and what each token is credited with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import remax
from rlhf_jax.training import optimizers
from tests import toy
from tests.methods import online

GAPS = jnp.array([2.0, 2.0])
PROMPTS = (0,), (0, 1), (0, 1, 0), (1,)  # Of toy.prompts(4).
MASK = np.array([[True] * 3, [True, True, False]])


class ReturnsTest(parameterized.TestCase):
  @parameterized.parameters(remax.one_step, remax.to_go)
  def test_a_gap_of_two(self, returns):
    # 2 γ^(T − t), γ = .99: the discount falls on the last token too.
    actual = returns(GAPS, jnp.zeros((2, 3)), MASK, discount=0.99)
    np.testing.assert_allclose(
      actual, [[1.940598, 1.9602, 1.98], [1.9602, 1.98, 0.0]], rtol=1e-6
    )

  def test_a_token_answers_for_its_own_kl_or_for_all_that_follow(self):
    penalties = jnp.array([[0.1, 0.2, 0.4], [0.1, -0.2, np.nan]])
    np.testing.assert_allclose(
      remax.one_step(GAPS, penalties, MASK, discount=1.0),
      [[1.9, 1.8, 1.6], [1.9, 2.2, 0.0]],
      rtol=1e-6,
    )
    np.testing.assert_allclose(
      remax.to_go(GAPS, penalties, MASK, discount=1.0),
      [[1.3, 1.4, 1.6], [2.1, 2.2, 0.0]],
      rtol=1e-6,
    )
    # 2 · 0.5³ − (0.1 + 0.5 · 0.2 + 0.25 · 0.4), and so on.
    np.testing.assert_allclose(
      remax.to_go(GAPS, penalties, MASK, discount=0.5)[0],
      [-0.05, 0.1, 0.6],
      atol=1e-6,
    )


class CollectTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.params = {'policy': toy.POLICY.init(jax.random.key(2))}
    self.frozen = {
      'reference': self.params['policy'],
      'reward': toy.SCALAR.init(jax.random.key(1)),
    }

  def collect(self, config, key=5):
    return remax.collect(
      toy.state(self.params),
      self.frozen,
      toy.prompts(4),
      jax.random.key(key),
      models=toy.MODELS,
      config=config,
    )

  def score(self, prompt, response):
    """By the toy reward model: the sum of its tokens' weights."""
    weights = np.asarray(self.frozen['reward']['head']['kernel'])[:, 0]
    return weights[[*prompt, *response]].sum()

  def greedy(self, prompt):
    """The likeliest token each time, by definition."""
    before, response = prompt[-1], []
    while len(response) < toy.LONGEST and before != toy.EOS:
      before = int(np.argmax(self.params['policy']['embedding'][before]))
      response.append(before)
    return response

  @parameterized.parameters(None, 0.25)
  def test_the_greedy_score_is_taken_off_and_then_clipped(self, clip):
    config = remax.paper(
      steps=1, samples=3, kl_coef=0.0, gap_clip=clip, unended_penalty=0.5
    )
    batch, metrics = self.collect(config)
    baselines = []
    for prompt in PROMPTS:
      greedy = self.greedy(prompt)
      unended = greedy[-1] != toy.EOS
      baselines.append(self.score(prompt, greedy) - 0.5 * unended)
    tokens, mask = map(np.asarray, batch.rollouts.responses)
    for b, prompt in enumerate(PROMPTS):
      for k in range(3):
        sampled = self.score(prompt, tokens[b, k][mask[b, k]])
        sampled -= 0.5 * ~np.asarray(batch.rollouts.ended)[b, k]
        gap = sampled - baselines[b]
        if clip is not None:
          gap = np.clip(gap, -clip, clip)
        np.testing.assert_allclose(
          batch.advantages[b, k], gap * mask[b, k], atol=1e-5
        )
    self.assertAlmostEqual(
      metrics['greedy_score'].value, np.mean(baselines), places=5
    )

  def test_the_baseline_is_not_drawn(self):
    config = remax.paper(steps=1, sampling=Sampling(top_p=0.9))
    _, one = self.collect(config, key=5)
    _, other = self.collect(config, key=6)
    self.assertEqual(one['greedy_score'].value, other['greedy_score'].value)
    self.assertNotEqual(one['score'].value, other['score'].value)


class ConfigTest(absltest.TestCase):
  def test_presets_differ_in_what_they_name(self):
    paper, released = remax.paper(steps=1), remax.released(steps=1)
    differ = {
      field.name
      for field in dataclasses.fields(paper)
      if getattr(paper, field.name) != getattr(released, field.name)
    }
    self.assertEqual(differ, {'reduction', 'returns', 'discount', 'gap_clip'})

  def test_a_critic_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'learns without'):
      remax.paper(steps=1, critic=policy_gradient.separate_critic)


class WiringTest(online.ShapeCase):
  method = 'remax'
  defaults = {
    'Config': {
      'objective': surrogates.policy_gradient,
      'reduction': masking.sequence_sum,
      'kl_coef': 0.05,
      'gap_clip': None,
      'returns': remax.to_go,
      'discount': 1.0,
      'optimizer': optimizers.Adam(
        learning_rate=1e-6,
        warmup=0.0,
        decay=optimizers.cosine,
        weight_decay=0.1,
      ),
    },
    'paper': {},
    'released': {
      'reduction': masking.token_mean,
      'returns': remax.one_step,
      'discount': 0.99,
      'gap_clip': 5.0,
    },
  }


if __name__ == '__main__':
  absltest.main()
