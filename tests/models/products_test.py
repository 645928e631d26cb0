"""A product with weights and its gradients, held to sums of products."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.models import products

B, T, D = 2, 3, 4


class WidenTest(chex.TestCase):
  @parameterized.parameters(((5,), 'btd,df->btf'), ((2, 5), 'btd,dif->btif'))
  def test_values_and_gradients(self, columns, sums):
    draw = np.random.default_rng(0)
    x, kernel, weights = (
      draw.normal(size=shape)
      for shape in ((B, T, D), (D, *columns), (B, T, *columns))
    )
    given, out = sums.split('->')
    of_x, of_kernel = given.split(',')

    def total(x, kernel):
      y = products.widen(x, kernel)
      return jnp.sum(y * weights.astype(np.float32)), y

    gradients, y = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(
      x.astype(np.float32), kernel.astype(np.float32)
    )
    expected = (
      np.einsum(f'{out},{of_kernel}->{of_x}', weights, kernel),
      np.einsum(f'{of_x},{out}->{of_kernel}', x, weights),
    )
    np.testing.assert_allclose(y, np.einsum(sums, x, kernel), atol=1e-5)
    chex.assert_trees_all_close(gradients, expected, atol=1e-5)

  def test_gradients_are_of_the_types_of_what_they_are_of(self):
    x = jnp.ones((B, T, D), jnp.bfloat16)
    kernel = jnp.ones((D, 5), jnp.bfloat16)
    _, pull = jax.vjp(products.widen, x, kernel)
    for found in pull(jnp.ones((B, T, 5), jnp.bfloat16)):
      self.assertEqual(found.dtype, jnp.bfloat16)


if __name__ == '__main__':
  absltest.main()
