"""Low-rank adapters: what they add, what they share, what is trained."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import LoRA, TransformerConfig, language_model, lora
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean

CONFIG = TransformerConfig(
  vocab_size=11,
  layers=2,
  width=8,
  heads=4,
  kv_heads=2,
  head_width=4,
  mlp_width=12,
)
UNGATED = dataclasses.replace(
  CONFIG, mlp=dataclasses.replace(CONFIG.mlp, gated=False)
)
DEEP = dataclasses.replace(CONFIG, layers=5)  # Its layers are a loop.
RANK = LoRA(rank=3, alpha=6.0)
TOKENS = jnp.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
MASK = jnp.array([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], bool)


def drawn(params, seed=2):
  """The parameters with adapters whose B is not 0."""
  keys = iter(jax.random.split(jax.random.key(seed), 100))

  def draw(path, x):
    is_b = path[-1].key == 'b'
    return 0.3 * jax.random.normal(next(keys), x.shape) if is_b else x

  return jax.tree_util.tree_map_with_path(draw, params)


def plain(config):
  return language_model(config).init(jax.random.key(0))


def adapted(config, of=RANK):
  return drawn(lora.add(of, jax.random.key(1), plain(config)))


class LoRATest(parameterized.TestCase):
  @parameterized.parameters(CONFIG, UNGATED, DEEP)
  def test_a_map_is_w_plus_scale_a_b(self, config):
    # The weights of each map, added up by hand in numpy.
    params, whole = adapted(config), plain(config)
    for room in whole['layers'].values():
      for name in set(room) & set(lora.MAPS):
        own = params['layers'][
          'mlp' if name in whole['layers']['mlp'] else 'attention'
        ][f'{name}_lora']
        a, b = np.asarray(own['a'], float), np.asarray(own['b'], float)
        shape = room[name].shape
        if name == 'gate_and_up':
          more = np.stack([a[:, :, i] @ b[:, i] for i in range(2)], axis=2)
        else:
          layers = shape[0]
          more = a.reshape(layers, -1, 3) @ b.reshape(layers, 3, -1)
        room[name] = room[name] + 2.0 * more.reshape(shape)
    model = language_model(config)
    found = model.hidden(params, TOKENS, MASK)
    expected = model.hidden(whole, TOKENS, MASK)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    unlike = model.hidden(plain(config), TOKENS, MASK)
    self.assertGreater(np.abs(found - unlike).max(), 0.1)
    chex.assert_trees_all_close(lora.merge(params), whole, atol=1e-6)

  def test_new_adapters_change_nothing(self):
    params = plain(CONFIG)
    more = lora.add(RANK, jax.random.key(1), params)
    model = language_model(CONFIG)
    np.testing.assert_array_equal(
      model.hidden(params, TOKENS, MASK), model.hidden(more, TOKENS, MASK)
    )
    a = np.asarray(more['layers']['mlp']['down_lora']['a'])
    self.assertEqual(a.shape, (2, 12, 3))
    bound = 1 / math.sqrt(12)
    self.assertLessEqual(np.abs(a).max(), bound)
    self.assertAlmostEqual(a.std(), bound / math.sqrt(3), delta=0.1 * bound)
    q, k = (
      more['layers']['attention'][f'{n}_lora']['a'] for n in ('query', 'key')
    )
    self.assertFalse(np.array_equal(q, k))

  def test_what_is_sampled_from_is_merged(self):
    params, model = adapted(CONFIG), language_model(CONFIG)
    first, _ = model.prefill(model.load(params), TOKENS, MASK, 1, 2)
    hidden = model.hidden(params, TOKENS, MASK)[:, -1]
    np.testing.assert_allclose(first, model.logits(params, hidden), atol=2e-5)

  def test_targets_are_those_whose_path_is_named(self):
    few = LoRA(rank=2, targets=('attention/(query|value)$',))
    params = lora.add(few, jax.random.key(1), plain(CONFIG))
    found = {
      name
      for room in params['layers'].values()
      for name in room
      if name.endswith('_lora')
    }
    self.assertEqual(found, {'query_lora', 'value_lora'})

  def test_no_target_is_a_sentence(self):
    with self.assertRaisesRegex(ValueError, "none of 'q_proj' is in the path"):
      none = LoRA(targets=('q_proj',))
      lora.add(none, jax.random.key(1), plain(CONFIG))

  def test_another_rank_than_there_is_a_sentence(self):
    with self.assertRaisesRegex(ValueError, 'rank 3 already, and 4 is asked'):
      lora.add(LoRA(rank=4), jax.random.key(1), adapted(CONFIG))

  def test_adapters_that_are_there_stay(self):
    params = adapted(CONFIG)
    chex.assert_trees_all_equal(
      lora.add(RANK, jax.random.key(5), params), params
    )

  def test_what_is_split_is_joined_again(self):
    params = {
      'reward': {'trunk': adapted(CONFIG), 'head': {'bias': jnp.ones(1)}}
    }
    given = dict.fromkeys(
      tuple(step.key for step in path)
      for path, _ in jax.tree_util.tree_leaves_with_path(params)
    )
    trained, base = lora.split(params, given)
    names = {
      path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(trained)
    }
    self.assertEqual(names, {'a', 'b', 'bias'})
    chex.assert_trees_all_equal(training.whole(trained, {'base': base}), params)

  def test_what_starts_afresh_is_trained_whole(self):
    def init(key, start):
      fresh = language_model(CONFIG).init(key)
      return {'policy': start['policy'], 'critic': {'trunk': fresh}}

    start = {'policy': plain(CONFIG)}
    given = lora.handed_on(init, jax.random.key(0), start)
    chex.assert_trees_all_equal_structs(
      given,
      {
        ('policy', *(step.key for step in path)): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(start['policy'])
      },
    )
    self.assertIs(given['policy', 'embedding'], start['policy']['embedding'])
    params = lora.add(
      RANK, jax.random.key(1), init(jax.random.key(0), start), among=given
    )
    trained, _ = lora.split(params, given)
    self.assertIn('query', trained['critic']['trunk']['layers']['attention'])
    self.assertNotIn(
      'query_lora', trained['critic']['trunk']['layers']['attention']
    )
    self.assertNotIn('query', trained['policy']['layers']['attention'])

  def test_the_base_is_in_the_very_arrays(self):
    params = plain(CONFIG)
    given = {('policy', *path): x for path, x in flat(params).items()}
    whole = lora.add(RANK, jax.random.key(1), {'policy': params}, among=given)
    base = lora.base(RANK, jax.eval_shape(lambda: whole), given)
    mlp = base['policy']['layers']['mlp']
    self.assertIs(mlp['down'], params['layers']['mlp']['down'])
    np.testing.assert_array_equal(mlp['down_lora']['scale'], [2.0, 2.0])
    self.assertNotIn('a', mlp['down_lora'])

  def test_a_gradient_is_the_whole_one_s_in_the_adapters(self):
    # dL/dA = scale dL/dW Bᵀ, dL/dB = scale Aᵀ dL/dW.
    model, params = language_model(CONFIG), adapted(CONFIG)

    def loss(params, frozen, batch, key):
      del frozen, key
      hidden = model.hidden(params, batch, MASK)
      return {'square': (1.0, Mean.of(jnp.square(hidden)))}, {}

    given = dict.fromkeys(flat(params))
    trained, base = lora.split(params, given)
    grads, _ = training.gradient(loss)(
      trained, {'base': base}, TOKENS, jax.random.key(0)
    )
    whole, _ = training.gradient(loss)(
      lora.merge(params), {}, TOKENS, jax.random.key(0)
    )
    for_w = np.asarray(whole['layers']['mlp']['down'], float)
    own = params['layers']['mlp']['down_lora']
    found = grads['layers']['mlp']['down_lora']
    a, b = (np.asarray(own[k], float) for k in 'ab')
    np.testing.assert_allclose(
      found['a'], 2.0 * for_w @ b.swapaxes(1, 2), atol=2e-5
    )
    np.testing.assert_allclose(
      found['b'], 2.0 * a.swapaxes(1, 2) @ for_w, atol=2e-5
    )
    self.assertEqual(jax.tree.structure(grads), jax.tree.structure(trained))


def flat(params):
  return {
    tuple(step.key for step in path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


if __name__ == '__main__':
  absltest.main()
