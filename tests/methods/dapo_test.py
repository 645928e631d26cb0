"""DAPO: groups that teach something, asked for until there are enough."""

import functools

import jax
import numpy as np
from absl.testing import absltest

from rlhf_jax import sharding
from rlhf_jax.kernels import rewards
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import dapo
from rlhf_jax.training import optimizers
from tests import toy
from tests.methods import groups, online

PENALTY = functools.partial(
  rewards.overlong_penalty, max_length=3.0, buffer=2.0, factor=1.0
)


class Scripted:
  """Scores by the prompt's index, and remembers which prompts were asked."""

  def __init__(self, telling):
    self.telling, self.asked = set(telling), []

  def models(self):
    return toy.MODELS._replace(scorer=self.score)

  def score(self, frozen, rollouts):
    del frozen
    index = np.asarray(rollouts.index)
    self.asked.append(index.tolist())
    scores = np.zeros(rollouts.tokens.shape[:2], np.float32)
    for row, i in enumerate(index):
      scores[row, 0] = i in self.telling
    return scores


class CollectTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    policy = toy.POLICY.init(jax.random.key(0))
    self.params, self.frozen = {'policy': policy}, {'reference': policy}

  def collect(self, scripted, prompts=None, **changes):
    base = {'steps': 1, 'batch_size': 8, 'groups': 2, 'samples': 3}
    base |= {'minibatches': 1}
    return dapo.collect(
      toy.state(self.params),
      self.frozen,
      toy.prompts(8) if prompts is None else prompts,
      jax.random.key(1),
      models=scripted.models(),
      config=dapo.Config(**(base | changes)),
    )

  def test_asks_until_enough_groups_differ(self):
    scripted = Scripted(telling=[1, 4, 5])
    batch, metrics = self.collect(scripted)
    self.assertEqual(scripted.asked, [[0, 1], [2, 3], [4, 5]])
    self.assertEqual(batch.rollouts.index.tolist(), [1, 4])
    self.assertEqual(metrics['prompts_asked'].value, 6.0)
    self.assertEqual(metrics['informative'].value, 0.5)
    # Scores (1, 0, 0) of both: 2/3 and −1/3 over √(1/3).
    np.testing.assert_allclose(
      np.asarray(batch.advantages)[:, :, 0],
      np.array([[2.0, -1.0, -1.0]] * 2) / 3 / (3**-0.5 + 1e-4),
      rtol=1e-5,
    )

  def test_asks_no_more_than_it_needs(self):
    scripted = Scripted(telling=range(8))
    _, metrics = self.collect(scripted)
    self.assertEqual(scripted.asked, [[0, 1]])
    self.assertEqual(metrics['prompts_asked'].value, 2.0)

  def test_fills_up_with_groups_that_teach_nothing(self):
    scripted = Scripted(telling=[6])
    batch, metrics = self.collect(scripted, length_penalty=PENALTY)
    self.assertEqual(batch.rollouts.index.tolist(), [6, 0])
    self.assertEqual(metrics['prompts_asked'].value, 8.0)
    _, mask = batch.rollouts.responses
    self.assertGreater(len(set(np.sum(mask, axis=-1)[1].tolist())), 1)
    np.testing.assert_array_equal(batch.advantages[1], 0.0)
    self.assertTrue(np.any(batch.advantages[0] != 0.0))

  def test_a_sample_does_not_depend_on_who_was_asked_with_it(self):
    late, _ = self.collect(Scripted(telling=[4, 5]))
    alone, _ = self.collect(Scripted(telling=[4, 5]), groups=8)
    np.testing.assert_array_equal(
      late.rollouts.tokens, alone.rollouts.tokens[:2]
    )

  def test_prompts_may_lie_on_many_devices(self):
    mesh = sharding.make_mesh()
    here, _ = self.collect(Scripted(telling=[1, 4, 5]))
    with jax.set_mesh(mesh):
      prompts = sharding.place_batch(toy.prompts(8), mesh)
      there, _ = self.collect(Scripted(telling=[1, 4, 5]), prompts)
    np.testing.assert_array_equal(
      there.rollouts.tokens, np.asarray(here.rollouts.tokens)
    )
    np.testing.assert_allclose(there.advantages, here.advantages, atol=1e-6)


class ShapeTest(absltest.TestCase):
  def test_long_responses_score_less(self):
    responses = [[(2,), (0, 2), (1, 0, 1)]]
    config = dapo.Config(
      steps=1,
      batch_size=1,
      groups=1,
      samples=3,
      minibatches=1,
      length_penalty=PENALTY,
    )
    batch, metrics = groups.shaped(dapo, config, responses, [[1.0, 2.0, 6.0]])
    # (length − 1) / 2 is taken off: 1, 1.5 and 5, of variance 4.75.
    gains = np.array([[-1.5, -1.0, 2.5]]) / (4.75**0.5 + 1e-4)
    np.testing.assert_allclose(
      batch.advantages, groups.at_tokens(gains, responses), rtol=1e-5
    )
    self.assertAlmostEqual(metrics['reward'].value, 2.5, places=6)
    self.assertAlmostEqual(metrics['score'].value, 3.0, places=6)

  def test_chunks_must_divide_the_prompts(self):
    with self.assertRaisesRegex(ValueError, 'groups is 3; .*batch_size, 8'):
      dapo.Config(steps=1, batch_size=8, groups=3)

  def test_minibatches_divide_what_is_learnt_from(self):
    asked = {'steps': 1, 'batch_size': 8, 'groups': 2, 'samples': 3}
    self.assertEqual(dapo.Config(**asked, minibatches=6).responses, 6)
    with self.assertRaisesRegex(ValueError, 'the 6 responses'):
      dapo.Config(**asked, minibatches=4)


class WiringTest(online.ShapeCase):
  method = 'dapo'
  defaults = {
    'Config': {
      'batch_size': 1536,
      'groups': 512,
      'samples': 16,
      'objective': functools.partial(
        surrogates.clipped_surrogate, clip_epsilon=0.2, clip_epsilon_high=0.28
      ),
      'length_penalty': functools.partial(
        rewards.overlong_penalty, max_length=20480.0, buffer=4096.0, factor=1.0
      ),
      'minibatches': 16,
      'optimizer': optimizers.Adam(learning_rate=1e-6, weight_decay=0.1),
    }
  }


if __name__ == '__main__':
  absltest.main()
