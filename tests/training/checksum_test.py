"""A checksum of parameters: what changes it, and what does not."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import sharding
from rlhf_jax.training.checkpoints import checksum, sums_of_bits


def params(**changes):
  kernel = np.arange(32, dtype=np.float32).reshape(8, 4)
  return {'layer': {'kernel': kernel, 'bias': np.ones(4, np.float32)}} | changes


def with_kernel(kernel):
  return {'layer': params()['layer'] | {'kernel': kernel}}


KERNEL = params()['layer']['kernel']
ONE_BIT_MORE = np.where(KERNEL == 31, np.nextafter(KERNEL, np.inf), KERNEL)

CHANGED = {
  'a value, by one bit': with_kernel(ONE_BIT_MORE.astype(np.float32)),
  'the sign of a zero': with_kernel(np.where(KERNEL == 0, -0.0, KERNEL)),
  'two values changed places': with_kernel(KERNEL[::-1]),
  'a type': with_kernel(KERNEL.astype(np.float64)),
  'a type of as many bytes': with_kernel(KERNEL.view(np.int32)),
  'a shape': with_kernel(KERNEL.reshape(4, 8)),
  'a name': {'other': params()['layer']},
  'names changed places': {
    'layer': {'kernel': params()['layer']['bias'], 'bias': KERNEL}
  },
  'one more': params(head=np.zeros(1, np.float32)),
}


class ChecksumTest(parameterized.TestCase):
  @parameterized.named_parameters((name, name) for name in CHANGED)
  def test_changes_with(self, name):
    self.assertNotEqual(checksum(CHANGED[name]), checksum(params()))

  def test_is_sixteen_digits_and_always_the_same(self):
    self.assertRegex(checksum(params()), '^[0-9a-f]{16}$')
    self.assertEqual(checksum(params()), checksum(params()))

  def test_does_not_change_with_how_the_arrays_lie(self):
    expected = checksum(params())
    fortran = with_kernel(np.asfortranarray(KERNEL))
    strided = with_kernel(np.repeat(KERNEL, 2, axis=0)[::2])
    on_device = jax.tree.map(jnp.asarray, params())
    backwards = {'layer': dict(reversed(params()['layer'].items()))}
    mesh = sharding.make_mesh({'data': 1, 'fsdp': 8, 'tensor': 1})
    placed = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('fsdp')
    )
    sharded = with_kernel(jax.device_put(KERNEL, placed))
    for same in (fortran, strided, on_device, backwards, sharded):
      self.assertEqual(checksum(same), expected)

  def test_sums_are_those_of_every_value_by_itself(self):
    def mixed(word):
      word = (word ^ word >> 16) * 0x85EBCA6B % 2**32
      word = (word ^ word >> 13) * 0xC2B2AE35 % 2**32
      return word ^ word >> 16

    expected = [0, 0]
    for (row, column), bits in np.ndenumerate(KERNEL.view(np.uint32)):
      word = mixed(mixed(mixed(int(bits) ^ 0x9E3779B9) ^ row) ^ column)
      expected = [expected[0] + word, expected[1] + mixed(2**32 - 1 - word)]
    np.testing.assert_array_equal(
      sums_of_bits(KERNEL), [x % 2**32 for x in expected]
    )

  def test_no_device_sees_what_lies_on_another(self):
    mesh = sharding.make_mesh({'data': 1, 'fsdp': 4, 'tensor': 2})
    placed = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('fsdp', 'tensor')
    )
    sharded = jax.device_put(KERNEL, placed)
    program = sums_of_bits.lower(sharded).compile().as_text()
    self.assertIn('all-reduce', program)
    for travels in ('all-gather', 'all-to-all', 'collective-permute'):
      self.assertNotIn(travels, program)

  def test_takes_half_precision(self):
    half = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params())
    self.assertNotEqual(checksum(half), checksum(params()))


if __name__ == '__main__':
  absltest.main()
