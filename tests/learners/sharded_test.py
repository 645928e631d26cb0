"""Eight devices say what one says: losses and gradients of each learner."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.experiment.models import roles
from rlhf_jax.learners import policy_gradient
from rlhf_jax.methods import dpo, kto, ppo, reward_model, rrhf, sft
from rlhf_jax.models import PARTITION_RULES, TransformerConfig
from rlhf_jax.training import state as training
from rlhf_jax.types import (
  Comparisons,
  Demonstrations,
  Experience,
  Rollouts,
)

MODEL = TransformerConfig(
  vocab_size=32, layers=2, width=16, heads=4, kv_heads=2, head_width=8,
  mlp_width=32,
)  # fmt: skip
ROWS, P, R = 8, 4, 6
T = P + R


def arrays(*leading):
  """Tokens, attention mask and response mask of ragged rows."""
  random = np.random.default_rng(0)
  tokens = random.integers(0, MODEL.vocab_size, (*leading, T), dtype=np.int32)
  lengths = random.integers(1, R + 1, leading)
  columns = np.arange(T)
  attention = columns < P + lengths[..., None]
  return tokens, attention, attention & (columns >= P)


def demonstrations():
  return Demonstrations(*arrays(ROWS))


def comparisons():
  return Comparisons(
    *arrays(ROWS, 2),
    candidate_mask=np.ones((ROWS, 2), bool),
    margins=np.linspace(0, 1, ROWS, dtype=np.float32),
    weight=np.ones(ROWS, np.float32),
  )


def lists():
  """As many as three, best first, some rows with fewer."""
  tokens, attention, response = arrays(ROWS, 3)
  here = np.arange(3) < np.array([3, 2, 1, 3, 3, 2, 1, 3])[:, None]
  return Comparisons(
    tokens,
    attention & here[..., None],
    response & here[..., None],
    candidate_mask=here,
    margins=np.zeros(ROWS, np.float32),
    weight=np.ones(ROWS, np.float32),
  )


def experience():
  random = np.random.default_rng(1)
  tokens, attention, response = arrays(ROWS)
  numbers = [random.normal(size=(ROWS, R)).astype(np.float32) for _ in range(7)]
  rollouts = Rollouts(
    tokens, attention, response, *numbers[:2],
    ended=np.ones(ROWS, bool), index=np.arange(ROWS, dtype=np.int32),
  )  # fmt: skip
  logps = numbers[2] - 3.0
  return Experience(rollouts, logps, logps, *numbers[4:7])


CASES = {
  'likelihood': (sft, sft.Config(steps=1), demonstrations),
  'likelihood_micro': (
    sft, sft.Config(steps=1, micro_batches=2), demonstrations,
  ),
  'reward': (
    reward_model, reward_model.Config(steps=1, centering=0.1), comparisons,
  ),
  'pairwise': (dpo, dpo.Config(steps=1), comparisons),
  'listwise_micro': (rrhf, rrhf.Config(steps=1, micro_batches=2), lists),
  'unpaired': (kto, kto.Config(steps=1), lists),
  'policy_gradient': (
    ppo, ppo.Config(steps=1, entropy_coef=0.01), experience,
  ),
  'policy_gradient_shared_trunk': (
    ppo, ppo.Config(steps=1, critic=policy_gradient.shared_trunk), experience,
  ),
}  # fmt: skip


@pytest.mark.long
class ShardedTest(parameterized.TestCase):
  @parameterized.named_parameters((name, name) for name in CASES)
  def test_loss_and_gradients_equal_one_devices(self, name):
    method, config, batch = CASES[name]
    models = roles(MODEL)
    (stage,) = method.stages(config).values()
    params = stage.init(jax.random.key(0), {}, models=models, config=config)
    frozen = {'reference': models.policy.init(jax.random.key(1))}
    slope = training.gradient(method.loss, micro_batches=config.micro_batches)

    @jax.jit
    def evaluate(params, frozen, batch):
      grads, metrics = slope(
        params, frozen, batch, jax.random.key(0), models=models, config=config
      )
      return grads, {name: mean.value for name, mean in metrics.items()}

    expected = evaluate(params, frozen, batch())
    mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})
    with jax.set_mesh(mesh):
      actual = evaluate(
        sharding.place(params, PARTITION_RULES, mesh),
        sharding.place(frozen, PARTITION_RULES, mesh),
        sharding.place_batch(batch(), mesh),
      )
    chex.assert_trees_all_close(
      jax.device_get(actual), jax.device_get(expected), atol=1e-5
    )
    spread = {
      len(x.sharding.device_set) > 1 and not x.sharding.is_fully_replicated
      for x in jax.tree.leaves(sharding.place(params, PARTITION_RULES, mesh))
    }
    self.assertIn(True, spread)

  def test_initial_parameters_do_not_depend_on_the_mesh(self):
    # The same draws; their scaling may be rounded in another place.
    models = roles(MODEL)
    mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})
    alone = models.policy.init(jax.random.key(0))
    spread = sharding.init_sharded(
      models.policy.init, PARTITION_RULES, mesh, jax.random.key(0)
    )
    chex.assert_trees_all_close(
      jax.device_get(spread), jax.device_get(alone), rtol=1e-6
    )


class RulesTest(parameterized.TestCase):
  def test_a_parameter_without_a_rule_is_an_error(self):
    mesh = sharding.make_mesh()
    with self.assertRaisesRegex(ValueError, "names the parameter 'new/kernel'"):
      sharding.shardings(
        {'new': {'kernel': jnp.zeros((4, 4))}}, (('old', ()),), mesh
      )

  def test_axes_that_do_not_divide_are_left_out(self):
    def fit(shape, *axes):
      sizes = {'data': 2, 'fsdp': 2, 'tensor': 3}
      return tuple(sharding.fitting_spec(shape, axes, sizes))

    both = ('data', 'fsdp')
    self.assertEqual(fit((6, 4), 'tensor', 'fsdp'), ('tensor', 'fsdp'))
    self.assertEqual(fit((4, 3), 'tensor', 'fsdp'), (None, None))
    self.assertEqual(fit((4,), both), (both,))
    self.assertEqual(fit((2,), both), ('data',))
    self.assertEqual(fit((4, 6), 'sequence', 'tensor'), (None, 'tensor'))

  @parameterized.parameters(
    ({'model': 2}, "axis 'model' is none of"),
    ({'data': 3}, 'needs 3 devices, and there are 8'),
  )
  def test_a_mesh_that_cannot_be_is_refused(self, shape, message):
    with self.assertRaisesRegex(ValueError, message):
      sharding.make_mesh(shape)

  def test_what_is_left_goes_to_the_open_axis(self):
    mesh = sharding.make_mesh({'fsdp': 2, 'data': -1})
    self.assertEqual(dict(mesh.shape), {'data': 4, 'fsdp': 2, 'tensor': 1})


if __name__ == '__main__':
  absltest.main()
