"""Every preset's parameters have a place, and eight devices compute as one."""

import dataclasses
import functools
import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.models import (
  PARTITION_RULES,
  cores,
  language_model,
  presets,
  scalar_model,
)
from rlhf_jax.models.config import MLP, Attention, Norm, Positions, Residual

PRESETS = {
  'sandbox': presets.sandbox(64),
  'small_text': presets.small_text(4096),
  'llama_1b': presets.llama_1b(),
  'llama_8b': presets.llama_8b(),
}
# With every parameter that a transformer may have.
FULL = dataclasses.replace(
  PRESETS['small_text'],
  norm=Norm(centred=True),
  positions=Positions(count=64),
  attention=Attention(bias=True, output_bias=True, norms=True),
  mlp=MLP(bias=True),
  residual=Residual(output_norms=True),
)
PRESETS |= {
  'gated': FULL,
  'plain': dataclasses.replace(FULL, mlp=MLP(gated=False, bias=True)),
}


def parameters(config):
  """Shapes by path: the policy's, and a reward model's of four scores."""
  shapes = {
    'policy': jax.eval_shape(language_model(config).init, jax.random.key(0)),
    'reward': jax.eval_shape(
      scalar_model(config, scores=4).init, jax.random.key(0)
    ),
  }
  leaves = jax.tree_util.tree_leaves_with_path(shapes)
  return {sharding.leaf_path(path): leaf.shape for path, leaf in leaves}


class PresetTest(parameterized.TestCase):
  @parameterized.named_parameters((k, v) for k, v in PRESETS.items())
  def test_one_rule_names_each_parameter(self, config):
    for path, shape in parameters(config).items():
      found = [r for r, _ in PARTITION_RULES if re.search(r, path)]
      self.assertLen(found, 1, path)
      axes = dict(PARTITION_RULES)[found[0]]
      self.assertIn(len(axes), (0, len(shape)), path)

  @parameterized.named_parameters((k, v) for k, v in PRESETS.items())
  def test_matrices_are_split_over_both_axes(self, config):
    sizes = {'data': 1, 'fsdp': 4, 'tensor': 4}
    for path, shape in parameters(config).items():
      axes = next(a for r, a in PARTITION_RULES if re.search(r, path))
      spec = sharding.fitting_spec(shape, axes, sizes)
      if path.endswith(('scale', 'bias')):
        self.assertNotIn('fsdp', spec, path)
      elif path.endswith('positions'):
        self.assertEqual(set(spec) - {None}, {'fsdp'}, path)
      else:
        wanted = {'fsdp'} if 'head' in path else {'fsdp', 'tensor'}
        self.assertEqual(set(spec) - {None}, wanted, path)

  @parameterized.parameters(
    ('sandbox', 0.111e6), ('llama_1b', 1.236e9), ('llama_8b', 8.030e9)
  )
  def test_sizes_are_those_named(self, name, expected):
    config = PRESETS[name]
    shapes = jax.eval_shape(language_model(config).init, jax.random.key(0))
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    self.assertLess(abs(count / expected - 1), 0.01)

  def test_a_path_that_no_rule_names_is_an_error(self):
    mesh = sharding.make_mesh({'data': 8})
    with self.assertRaisesRegex(ValueError, 'no partition rule names'):
      sharding.shardings(
        {'layers': {'mlp': {'extra': np.ones((2, 2))}}}, PARTITION_RULES, mesh
      )


class ShardedTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.config = presets.sandbox(32)
    self.model = language_model(self.config)
    self.mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2})
    draw = np.random.default_rng(0)
    self.tokens = draw.integers(0, 32, (8, 6)).astype(np.int32)
    self.mask = np.arange(6)[None] >= draw.integers(0, 3, (8, 1))

  def loss(self, params, tokens, mask):
    hidden = self.model.hidden(params, tokens, mask)
    logps = self.model.token_logps(params, hidden, tokens)
    return -jnp.mean(logps, where=mask)

  @parameterized.parameters(cores.plain, cores.in_blocks)
  def test_eight_devices_compute_as_one(self, core):
    config = dataclasses.replace(self.config, attention_core=core)
    self.model = language_model(config)
    params = self.model.init(jax.random.key(0))
    gradient = jax.value_and_grad(self.loss)
    expected = jax.jit(gradient)(params, self.tokens, self.mask)
    placed = sharding.place(params, PARTITION_RULES, self.mesh)
    batch = sharding.place_batch((self.tokens, self.mask), self.mesh)
    with jax.set_mesh(self.mesh):
      actual = jax.jit(gradient)(placed, *batch)
    up = placed['layers']['mlp']['gate_and_up']
    self.assertEqual(up.addressable_shards[0].data.size, up.size // 4)
    chex.assert_trees_all_close(
      jax.device_get(actual), jax.device_get(expected), atol=1e-5
    )

  def test_starts_the_same_in_shards(self):
    expected = self.model.init(jax.random.key(0))
    actual = sharding.init_sharded(
      self.model.init, PARTITION_RULES, self.mesh, jax.random.key(0)
    )
    chex.assert_trees_all_close(
      jax.device_get(actual), jax.device_get(expected), atol=1e-7
    )

  @parameterized.parameters(
    {'data': 2, 'fsdp': 2, 'tensor': 2},
    {'fsdp': 4, 'tensor': 2},
    {'data': 2, 'fsdp': 4},
    {'fsdp': 8},
  )
  def test_decodes_in_shards(self, **shape):
    params = self.model.init(jax.random.key(0))

    @functools.partial(jax.jit, static_argnums=3)
    def steps(params, tokens, mask, samples):
      params = self.model.load(params)
      logits, cache = self.model.prefill(params, tokens, mask, samples, 2)
      found = [jnp.repeat(logits[:, None], samples, axis=1)]
      for token in (3, 4):
        written = jnp.full((8, samples), token, jnp.int32)
        logits, cache = self.model.decode_step(params, cache, written)
        found.append(logits)
      return jnp.stack(found)

    expected = steps(params, self.tokens, self.mask, 2)
    mesh = sharding.make_mesh(shape)
    placed = sharding.place(params, PARTITION_RULES, mesh)
    batch = sharding.place_batch((self.tokens, self.mask), mesh)
    with jax.set_mesh(mesh):
      actual = steps(placed, *batch, 2)
    np.testing.assert_allclose(
      jax.device_get(actual), jax.device_get(expected), atol=1e-5
    )

  def test_a_step_of_decoding_gathers_no_weights(self):
    mesh = sharding.make_mesh({'fsdp': 8})
    params = self.model.load(self.model.init(jax.random.key(0)))
    prompts = self.tokens, np.ones_like(self.tokens, bool)
    _, cache = self.model.prefill(params, *prompts, 1, 2)
    layers = params['layers']
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *layers)
    placed = sharding.place(params | {'layers': stacked}, PARTITION_RULES, mesh)
    split = self.model.load(placed)
    with jax.set_mesh(mesh):
      step = jax.jit(self.model.decode_step)
      cache = sharding.place_batch(cache, mesh)
      text = step.lower(split, cache, self.tokens[:, :1]).compile().as_text()
    gathered = [
      math.prod(map(int, sizes.split(',')))
      for sizes in re.findall(r'= \w+\[([\d,]+)\]\S* all-gather', text)
    ]
    matrices = [x.size for x in jax.tree.leaves(layers) if x.ndim > 1]
    # What is gathered is the stream of a token a row.
    self.assertNotEmpty(gathered)
    self.assertLess(max(gathered), min(matrices))


if __name__ == '__main__':
  absltest.main()
