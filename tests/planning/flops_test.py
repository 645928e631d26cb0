"""FLOPs of programs against sums that are worked out by hand."""

import jax
import jax.numpy as jnp
from absl.testing import absltest

from rlhf_jax.planning import flops

X = jax.ShapeDtypeStruct((3, 4), jnp.float32)
W = jax.ShapeDtypeStruct((4, 4), jnp.float32)
ONE = 2 * 3 * 4 * 4  # Of X W: a multiplication and an addition.


def of(function, *given, **options):
  return flops.of(jax.jit(function).trace(*given).jaxpr, **options)


class FlopsTest(absltest.TestCase):
  def test_a_product_is_two_for_each_term(self):
    self.assertEqual(of(lambda x, w: x @ w, X, W), ONE)
    batched = jax.ShapeDtypeStruct((5, 3, 4), jnp.float32)
    other = jax.ShapeDtypeStruct((5, 4, 7), jnp.float32)
    self.assertEqual(of(jnp.matmul, batched, other), 5 * 2 * 3 * 4 * 7)

  def test_a_scan_counts_as_often_as_it_runs(self):
    def repeated(x, w):
      return jax.lax.scan(lambda c, _: (c @ w, None), x, length=6)[0]

    self.assertEqual(of(repeated, X, W), 6 * ONE)

  def test_a_gradient_is_two_products_more(self):
    def loss(w, x):
      return jnp.sum(jnp.tanh(x @ w) ** 2)

    # That of the weights; of x nobody asks.
    self.assertEqual(of(jax.grad(loss), W, X), 2 * ONE)
    self.assertEqual(of(jax.grad(loss, argnums=(0, 1)), W, X), 3 * ONE)
    # Recomputed, the product is not asked for twice by the compiler's view of
    # what is read: tanh needs it again.
    again = jax.grad(jax.checkpoint(loss))
    self.assertEqual(of(again, W, X), 2 * ONE)

  def test_what_nobody_reads_counts_nothing(self):
    def wasteful(x, w):
      unread = jax.lax.scan(lambda c, _: (c @ w, None), x, length=9)[0]
      del unread
      return x @ w

    self.assertEqual(of(wasteful, X, W), ONE)

  def test_the_dearest_branch_counts(self):
    def either(flag, x, w):
      return jax.lax.cond(flag, lambda: x @ w @ w, lambda: x)

    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    self.assertEqual(of(either, flag, X, W), 2 * ONE)

  def test_a_loop_that_ends_by_itself_counts_as_it_is_told(self):
    def until(x, w):
      return jax.lax.while_loop(lambda c: jnp.sum(c) < 10.0, lambda c: c @ w, x)

    self.assertEqual(of(until, X, W), ONE)
    self.assertEqual(of(until, X, W, loop_steps=20), 20 * ONE)

  def test_a_loop_that_begins_several_times_counts_so_often_in_all(self):
    def until(x, w):
      return jax.lax.while_loop(lambda c: jnp.sum(c) < 10.0, lambda c: c @ w, x)

    def again(x, w):
      return jax.lax.scan(
        lambda c, _: (until(c, w) @ w, None), x @ w, length=3
      )[0]

    self.assertEqual(of(again, X, W, loop_steps=20), (1 + 3 + 20) * ONE)

  def test_inside_of_shard_map_are_shapes_of_one_device(self):
    types = (jax.sharding.AxisType.Auto,)
    mesh = jax.sharding.AbstractMesh((3,), ('data',), axis_types=types)

    def split(x, w):
      own = jax.shard_map(
        jnp.matmul,
        in_specs=(jax.P('data'), jax.P()),
        out_specs=jax.P('data'),
      )
      return own(x, w)

    with jax.sharding.use_abstract_mesh(mesh):
      self.assertEqual(of(split, X, W), ONE)


if __name__ == '__main__':
  absltest.main()
