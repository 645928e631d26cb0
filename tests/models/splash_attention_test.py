"""Splash attention: interpreted, against the plain form; compiled for a TPU."""

import dataclasses
import importlib.util
import os
import re
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest
from jax.experimental import topologies

from rlhf_jax import sharding
from rlhf_jax.models import (
  PARTITION_RULES,
  cores,
  language_model,
  presets,
  splash_attention,
)
from rlhf_jax.models.config import Attention, Local

TINY = dataclasses.replace(
  presets.sandbox(32), kv_heads=2, attention=Attention(softcap=3.0)
)
# What libtpu asks for before it loads, where there is no TPU.
WITHOUT_TPU = {
  'TPU_SKIP_MDS_QUERY': '1',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
  'TPU_WORKER_HOSTNAMES': 'localhost',
}


class InterpretedTest(chex.TestCase):
  def test_is_as_the_plain_form(self):
    config = dataclasses.replace(
      TINY, local=Local(window=20, layers=(True, True))
    )
    rng = np.random.default_rng(0)
    T, d = 100, config.head_width  # Less than the kernel's lanes.
    shapes = [(2, T, heads, d) for heads in (4, 2, 2, 4)]
    *arrays, weights = (rng.normal(size=s).astype(np.float32) for s in shapes)
    mask = np.arange(T)[None] >= [[0], [30]]
    segments = (np.arange(T)[None] >= [[50], [60]]).astype(np.int32)

    def total(form, arrays, **options):
      out = form(config, mask, segments, **options)(*arrays, 0)
      return jnp.sum(jnp.where(mask[..., None, None], weights * out, 0.0))

    graded = jax.value_and_grad(total, argnums=1)
    expected = graded(cores.plain, arrays)
    actual = graded(splash_attention.mixing, arrays, interpret=True)
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)


class CompiledTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    if importlib.util.find_spec('libtpu') is None:
      self.skipTest('libtpu is not installed: pip install libtpu')
    self.enter_context(mock.patch.dict(os.environ, WITHOUT_TPU))
    topology = topologies.get_topology_desc('v5e:2x4', platform='tpu')
    self.mesh = sharding.make_mesh(
      {'data': 2, 'fsdp': 2, 'tensor': 2}, topology.devices
    )

  def compiled(self, config, length):
    """The gradient of a sum of hidden states, for the TPUs of the mesh."""
    model = language_model(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    places = sharding.shardings(params, PARTITION_RULES, self.mesh)
    rows = jax.NamedSharding(self.mesh, jax.P(sharding.BATCH))

    def placed(shape, place):
      return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place)

    def loss(params, tokens, mask):
      return jnp.sum(model.hidden(params, tokens, mask).astype(jnp.float32))

    batch = [jax.ShapeDtypeStruct((8, length), t) for t in (jnp.int32, bool)]
    with jax.set_mesh(self.mesh):
      lowered = jax.jit(jax.grad(loss)).lower(
        jax.tree.map(placed, params, places), *(placed(b, rows) for b in batch)
      )
    return lowered.compile()

  def test_long_rows_have_its_kernels_and_hold_no_scores(self):
    config = dataclasses.replace(
      TINY,
      compute_dtype='bfloat16',
      local=Local(window=100, layers=(True, False)),
    )
    program = self.compiled(config, 640)
    text = program.as_text()
    for kernel in ('splash_mha_fwd', 'splash_mha_dq', 'splash_mha_dkv'):
      self.assertTrue(kernel in text, kernel)
    self.assertIsNone(re.search(r'f32\[[\d,]*640,640\]', text))

  def test_short_rows_do_without(self):
    self.assertFalse('splash_mha' in self.compiled(TINY, 64).as_text())


if __name__ == '__main__':
  absltest.main()
