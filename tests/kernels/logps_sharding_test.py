"""Log-probs from hidden states over a mesh of eight devices."""

import contextlib
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from jax.sharding import NamedSharding, PartitionSpec

from rlhf_jax.kernels import distributions

D = 8


def objective(hidden, unembedding, temperature, targets, g, h, **options):
  """Σ g · logps + h · entropies, and both."""
  values = distributions.fused_token_logps_and_entropies(
    hidden, unembedding, targets, temperature=temperature, **options
  )
  return jnp.sum(g * values[0] + h * values[1]), values


class ShardedTest(chex.TestCase):
  """Rows over two axes of a mesh, the vocabulary over the third."""

  @parameterized.parameters(
    (None, 64, True),
    (12, 64, True),
    (12, 37, True),
    (12, 64, False),
    (None, 64, True, True),
    (12, 64, True, True),
    (12, 37, True, True),
  )
  def test_equals_one_device(self, chunk, vocabulary, is_set, gaps=False):
    # Ids that are no tokens: a gap, and the end of the table.
    absent = (3, 4, *range(vocabulary - 9, vocabulary)) if gaps else ()
    mesh = jax.make_mesh(
      (2, 2, 2),
      ('data', 'fsdp', 'tensor'),
      axis_types=(jax.sharding.AxisType.Auto,) * 3,
    )
    columns = 'tensor' if vocabulary % 2 == 0 else None
    rows = NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))
    split = NamedSharding(mesh, PartitionSpec('fsdp', columns))
    everywhere = NamedSharding(mesh, PartitionSpec())
    draw = np.random.default_rng(0)
    hidden = draw.normal(size=(8, 6, D)).astype(np.float32)
    unembedding = draw.normal(size=(D, vocabulary)).astype(np.float32)
    targets = draw.integers(5, vocabulary - 9, (8, 6))
    g, h = draw.normal(size=(2, 8, 6)).astype(np.float32)
    form = jax.value_and_grad(
      functools.partial(objective, chunk=chunk, absent=absent),
      argnums=(0, 1),
      has_aux=True,
    )
    arguments = hidden, unembedding, np.float32(0.7), targets, g, h
    expected = form(*arguments)
    step = jax.jit(form, out_shardings=((None, rows), (rows, split)))
    places = rows, split, everywhere, rows, rows, rows
    placed = jax.tree.map(jax.device_put, arguments, places)
    with jax.set_mesh(mesh) if is_set else contextlib.nullcontext():
      actual = step(*placed)
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.parameters((16, 8, 64), (None, 2**16, 2**13))
  def test_each_device_keeps_to_its_part_of_the_vocabulary(
    self, chunk, rows, vocabulary
  ):
    # Compiled, never run: the second size is one of which products are kept.
    mesh = jax.make_mesh(
      (4, 2), ('data', 'tensor'), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )
    split_rows = NamedSharding(mesh, PartitionSpec('data'))
    split_columns = NamedSharding(mesh, PartitionSpec(None, 'tensor'))
    form = jax.grad(
      lambda *x: jnp.sum(distributions.fused_token_logps(*x, chunk=chunk)),
      argnums=(0, 1),
    )
    shape = jax.ShapeDtypeStruct
    with jax.set_mesh(mesh):
      step = jax.jit(form, out_shardings=(split_rows, split_columns))
      program = step.lower(
        shape((rows, D), jnp.float32, sharding=split_rows),
        shape((D, vocabulary), jnp.float32, sharding=split_columns),
        shape((rows,), jnp.int32, sharding=split_rows),
      ).compile()
    self.assertIn('while', program.as_text())
    self.assertNotIn('all-gather', program.as_text())
