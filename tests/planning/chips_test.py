"""The table of chips, and how slices of them are asked for."""

from absl.testing import absltest, parameterized

from rlhf_jax.planning import chips


class ChipsTest(parameterized.TestCase):
  @parameterized.parameters(
    # (links along each axis, two where it is a ring) x bytes/s of a link.
    ('v5e:1x1', 1, 45e9),
    ('v5e:8x8', 64, 2 * 45e9),
    ('v5e:4x16', 64, 3 * 45e9),
    ('v5e:16x16', 256, 4 * 45e9),
    ('v5p:2x2x1', 4, 2 * 90e9),
    ('v5p:4x4x4', 64, 6 * 90e9),
    ('v4:4x4x8', 128, 6 * 45e9),
    ('v6e:8x8', 64, 2 * 90e9),
    ('h100:1x8', 8, 450e9),
    ('h100:2x8', 16, 450e9),
  )
  def test_slices(self, name, count, sending):
    found = chips.parse(name)
    self.assertEqual(found.count, count)
    self.assertEqual(found.sending, sending)
    self.assertEqual(found.name, name)

  def test_gpus_are_compared_with_their_80_gb(self):
    self.assertEqual(chips.parse('h100:1x8').chip.memory, 80e9)

  @parameterized.parameters(
    ('v5', "chips 'v5' are not known; did you mean "),
    ('tpu:2x2', 'There are v4, v5e, v5p, v6e, h100'),
    ('v5e', "'v5e' says no shape of v5e, which is v5e:NxN, as in v5e:4x4"),
    ('v5e:8', 'v5e:NxN'),
    ('v5e:8x8x8', 'v5e:NxN'),
    ('v5p:8x8', 'v5p:NxNxN, as in v5p:4x4x4'),
    ('v5e:0x4', 'v5e:NxN'),
    ('h100:8', 'h100:HOSTSxGPUS, as in h100:1x8'),
  )
  def test_what_is_no_slice_is_refused(self, name, said):
    with self.assertRaisesRegex(chips.ChipError, said):
      chips.parse(name)


if __name__ == '__main__':
  absltest.main()
