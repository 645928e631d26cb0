"""The table of chips, and how slices of them are asked for."""

from absl.testing import absltest, parameterized

from rlhf_jax.planning import chips

# As Cloud TPU's pages list them.
SOLD = {
  ('v5e', 'v6e'): '1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16',
  ('v4', 'v5p'): '2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16',
}


class ChipsTest(parameterized.TestCase):
  @parameterized.parameters(
    # (links along each axis, two where it is a ring) x bytes/s of a link.
    ('v5e:1x1', 1, 45e9),
    ('v5e:8x8', 64, 2 * 45e9),
    ('v5e:8x16', 128, 3 * 45e9),
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

  @parameterized.parameters(
    *(
      (f'{kind}:{shape}',)
      for kinds, shapes in SOLD.items()
      for kind in kinds
      for shape in shapes.split()
    ),
    # The largest.
    ('v4:16x16x16',),
    ('v5p:16x16x24',),
    # A part of a host, for Slurm; hosts of four.
    ('h100:1x3',),
    ('h100:16x4',),
  )
  def test_what_is_sold_can_be_asked_for(self, name):
    self.assertEqual(chips.parse(name).name, name)

  def test_gpus_are_compared_with_their_80_gb(self):
    self.assertEqual(chips.parse('h100:1x8').chip.memory, 80e9)

  @parameterized.parameters(
    ('v5', "chips 'v5' are not known; did you mean "),
    ('tpu:2x2', 'There are v4, v5e, v5p, v6e, h100'),
    ('v5e', "'v5e' is no slice of v5e; there are 1x1, "),
    # Cloud TPU's tables of v5e and v6e.
    ('v5e:8', '1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16$'),
    ('v5e:8x8x8', '1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16$'),
    ('v5e:3x5', "'v5e:3x5' is no slice of v5e; there are 1x1, "),
    ('v5e:1x16', 'there are 1x1, 2x2, 2x4'),
    ('v5e:0x4', 'there are 1x1, 2x2, 2x4'),
    ('v6e:32x32', '1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16$'),
    # In two dimensions; no multiples of four; not rising; too large.
    ('v4:2x2', 'there are 2x2x1, 2x2x2, 2x2x4, 2x4x4, and AxBxC of mult'),
    ('v5p:4x4x6', 'multiples of 4, A <= B <= C, up to 6144 chips, as 4x4x4'),
    ('v5p:8x4x4', 'A <= B <= C'),
    ('v4:16x16x20', 'up to 4096 chips'),
    ('h100:8', 'it is HOSTSxGPUS, with up to 8 GPUs on each host, as h100:1x8'),
    ('h100:1x16', 'up to 8 GPUs on each host'),
    ('h100:1x2x4', 'it is HOSTSxGPUS'),
  )
  def test_what_is_no_slice_is_refused(self, name, said):
    with self.assertRaisesRegex(chips.ChipError, said):
      chips.parse(name)


if __name__ == '__main__':
  absltest.main()
