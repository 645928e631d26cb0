"""A batch cut into parts, and put together again."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.training import parts

ROWS = np.arange(12)
BATCH = {'a': ROWS, 'b': np.stack([ROWS, -ROWS], axis=-1)}


class PartsTest(parameterized.TestCase):
  def test_rows_are_dealt_as_cards_are(self):
    dealt = parts.deal(BATCH, 3)
    np.testing.assert_array_equal(
      dealt['a'], [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    )
    self.assertEqual(dealt['b'].shape, (3, 4, 2))
    np.testing.assert_array_equal(dealt['b'][1, 2], [7, -7])

  @parameterized.parameters(1, 2, 3, 4, 12)
  def test_together_again_they_are_as_they_were(self, count):
    found = parts.gather(parts.deal(BATCH, count))
    for name, rows in BATCH.items():
      np.testing.assert_array_equal(found[name], rows)

  @parameterized.parameters(1, 2, 4)
  def test_a_function_sees_so_many_rows_at_a_time(self, count):
    seen = []

    def squares(rows):
      seen.append(rows['a'].shape)
      return {'sum': jnp.sum(rows['b'] ** 2, axis=-1)}

    found = jax.jit(lambda batch: parts.in_parts(squares, batch, count))(BATCH)
    np.testing.assert_array_equal(found['sum'], 2 * ROWS**2)
    self.assertEqual(set(seen), {(12 // count,)})

  @parameterized.parameters((12, 4, 3), (12, 8, 3), (12, 5, 12), (7, 7, 1))
  def test_rows_are_cut_into_as_many_parts_as_divide_them(
    self, rows, most, size
  ):
    self.assertEqual(parts.size_of(rows, most), size)

  @parameterized.parameters((16, 8, 2), (8, 8, 2), (12, 4, 6), (3, 3, 1))
  def test_every_device_has_rows_of_every_part(self, rows, most, size):
    # Two devices share the batch, unless its rows are not theirs to share.
    mesh = sharding.make_mesh({'data': 1, 'fsdp': 2}, jax.devices()[:2])
    with jax.set_mesh(mesh):
      self.assertEqual(parts.size_of(rows, most), size)

  def test_rows_that_do_not_divide_are_refused(self):
    with self.assertRaisesRegex(ValueError, '12 rows .* 5 micro-batches'):
      parts.deal(BATCH, 5)


if __name__ == '__main__':
  absltest.main()
