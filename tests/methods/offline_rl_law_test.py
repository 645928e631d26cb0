"""Reward-weighted regression against the law that it converges to.

Imitating data whose law is μ with weights exp(z / β), as whole responses, is
best done by π(y) ∝ μ(y) exp(z(y) / β). Of the toy policy these are responses
to end-of-text, whose row of the table no response reads; the words in them are
such that the table can give any law over them.
"""

import functools

import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import masking
from rlhf_jax.learners import likelihood
from rlhf_jax.methods import offline_rl
from rlhf_jax.training import state as training
from rlhf_jax.types import Demonstrations, Rated
from tests import toy
from tests.methods.fake_queries import FakeQueries, prompt

END = toy.EOS
RESPONSES = ((END,), (0, END), (1, END), (0, 1, END))
COUNTS = (5, 3, 1, 2)  # How often the pool has each: μ.
REWARDS = (0.0, 1.0, 2.5, 1.5)


def pool():
  return [
    Rated(prompt(), f'{place}', (REWARDS[place],))
    for place, count in enumerate(COUNTS)
    for _ in range(count)
  ]


def batch(demonstrations):
  """All demonstrations [B, 4], with their weights."""
  said = [RESPONSES[int(d.response)] for d in demonstrations]
  made = toy.compared([END] * len(said), [[response] for response in said])
  return Demonstrations(
    tokens=made.tokens[:, 0],
    attention_mask=made.attention_mask[:, 0],
    response_mask=made.response_mask[:, 0],
    weight=np.array([d.weight for d in demonstrations], np.float32),
  )


def law(beta):
  """π* [4] by its definition, in float64, from the page's z."""
  rewards = np.repeat(REWARDS, COUNTS)
  z = (np.array(REWARDS) - rewards.mean()) / rewards.std(ddof=1)
  tilted = np.array(COUNTS) * np.exp(z / beta)
  return tilted / tilted.sum()


class LawTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.5, likelihood.self_normalised), (1.0, likelihood.unnormalised)
  )
  def test_regression_tilts_the_data(self, beta, weighing):
    written = offline_rl.build(
      pool(),
      FakeQueries().queries,
      config=offline_rl.Pool(
        recipe=functools.partial(offline_rl.weighted, beta=beta, most=1e3)
      ),
    )
    found = self.trained(written.records, weighing)
    np.testing.assert_allclose(found, law(beta), atol=1e-3)
    # It is not what imitation without weights would give.
    self.assertGreater(np.abs(law(beta) - law(1e9)).max(), 0.2)

  def trained(self, demonstrations, weighing):
    """π [4] after many steps on all of the pool."""
    config = offline_rl.Config(
      steps=2000, weighing=weighing, reduction=masking.sequence_sum
    )
    optimizer = optax.adam(0.1)
    rows = batch(demonstrations)

    def step(_, state):
      state, _ = offline_rl.update(
        state,
        {},
        rows,
        None,
        models=toy.MODELS,
        optimizer=optimizer,
        config=config,
      )
      return state

    params = {'policy': toy.POLICY.init(jax.random.key(5))}
    state = training.create(params, optimizer)
    run = jax.jit(lambda state: jax.lax.fori_loop(0, config.steps, step, state))
    state = run(state)
    table = np.asarray(state.params['policy']['embedding'], np.float64)
    return [toy.probability(table, END, y) for y in RESPONSES]


if __name__ == '__main__':
  absltest.main()
