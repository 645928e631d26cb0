"""Reading compiled programs: texts of two versions of jax, for four v5e.

They are of the gradient of three layers, scanned, each of a kernel [512, 512]
split over the devices, and of a loop that multiplies until a number is reached;
without what nothing here reads.
"""

import pathlib

from absl.testing import absltest, parameterized

from rlhf_jax.planning import collectives, hlo

PROGRAMS = pathlib.Path(__file__).with_name('programs')
VERSIONS = ('0_10', '0_12')
KERNEL = 512 * 512 * 4  # Bytes of float32.


def read(name, version):
  return hlo.read((PROGRAMS / f'{name}_jax_{version}.txt').read_text())


# A loop that ends by itself, in one of five turns.
AGAIN = """HloModule again

%step (x: f32[2]) -> f32[2] {
  %n = f32[2] negate(%x)
}

%going_on (x: f32[2]) -> pred[] {
  %a = pred[] and(%x, %x)
}

%turn (x: f32[2]) -> f32[2] {
  %w = f32[2] while(%x), condition=%going_on, body=%step
}

%more (x: f32[2]) -> pred[] {
  %b = pred[] not(%x)
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %v = f32[2] while(%x), condition=%more, body=%turn, known_trip_count={"n":"5"}
}
"""


class HloTest(parameterized.TestCase):
  @parameterized.parameters(*VERSIONS)
  def test_a_gradient_gathers_twice_a_layer_and_scatters_once(self, version):
    module = read('gradient', version)
    found = collectives.find(module, module.runs(), devices=4)
    sent = {one.kind: one for one in found}
    self.assertSameElements(sent, ['all-gather', 'reduce-scatter'])
    gather, scatter = sent['all-gather'], sent['reduce-scatter']
    self.assertEqual((gather.times, gather.group), (2 * 3, 4))
    self.assertEqual(gather.bytes, KERNEL)
    self.assertTrue(gather.looped)
    # A device sends the three quarters that it holds to a ring of four.
    self.assertEqual(gather.wire, 6 * KERNEL * 3 / 4)
    self.assertEqual((scatter.times, scatter.bytes), (3, KERNEL / 4))
    self.assertEqual(scatter.wire, 3 * KERNEL / 4 * 3)

  @parameterized.parameters(*VERSIONS)
  def test_a_loop_that_ends_by_itself_runs_as_often_as_is_said(self, version):
    module = read('until', version)
    for steps in (1, 40):
      found = collectives.find(module, module.runs(steps), devices=4)
      times = {one.kind: one.times for one in found}
      self.assertEqual(times['all-gather'], steps)
      # Whether to go on is asked once more.
      self.assertEqual(times['all-reduce'], steps + 1)

  def test_a_loop_that_begins_several_times_runs_so_often_in_all(self):
    module = hlo.read(AGAIN)
    for steps, turns in ((20, 20), (3, 5)):  # It runs whenever it begins.
      runs = module.runs(steps)
      self.assertEqual((runs['turn'], runs['step']), (5, turns))
      self.assertEqual(runs['going_on'], turns + 5)

  def test_metadata_of_kernels_may_have_lines_of_their_own(self):
    found = sent(
      '%k = f32[8] custom-call(%x), frontend_attributes={kernel_metadata={\n'
      '"block": "512"\n'
      '}}, backend_config={}',
      '%g = f32[8] all-gather(%k), channel_id=1, replica_groups={{0,1,2,3}}',
    )
    self.assertLen(found, 1)

  def test_types(self):
    text = '(f32[8,512]{1,0:T(8,128)}, bf16[3]{0}, pred[], s4[6]) tuple('
    found = list(hlo.shapes(text))
    self.assertEqual(
      [str(shape) for shape in found],
      ['f32[8,512]', 'bf16[3]', 'pred[]', 's4[6]'],
    )
    self.assertEqual([s.bytes for s in found], [16384, 6, 1, 3])

  @parameterized.parameters(
    ('replica_groups={{0,1},{2,3}}, dimensions={0}', 2),
    ('replica_groups=[2,4]<=[8], dimensions={0}', 4),
    ('replica_groups=[4,2]<=[2,4]T(1,0)', 2),
    ("replica_groups=mesh['a'=4,'b'=8] {'b'}", 8),
    ("replica_groups=mesh['a'=4,'b'=8], device_ids=([32]) {'a','b'}", 32),
    ("replica_groups=mesh['a'=16] {'a':(4)4}", 4),
  )
  def test_spellings_of_groups(self, written, devices):
    found = sent(f'%g = f32[8] all-gather(%x), channel_id=1, {written}')
    self.assertEqual([one.group for one in found], [devices])

  def test_steps_of_one_that_is_asynchronous_are_one(self):
    found = sent(
      '%s = (f32[2], f32[8]) all-gather-start(%x), channel_id=7, '
      'replica_groups={{0,1,2,3}}',
      '%t = (f32[2], f32[8]) all-gather-start(%x), channel_id=7, '
      'replica_groups={{0,1,2,3}}',
      '%d = f32[8] all-gather-done(%s)',
    )
    self.assertEqual([(o.times, o.bytes) for o in found], [(1, 32)])

  @parameterized.parameters(
    ('all-reduce', 32, 2 * 32 * 3 / 4),
    ('all-to-all', 32, 32 * 3 / 4),
    ('reduce-scatter', 32, 32 * 3),
  )
  def test_what_a_device_sends(self, kind, size, wire):
    (one,) = sent(f'%g = f32[8] {kind}(%x), replica_groups={{{{0,1,2,3}}}}')
    self.assertEqual((one.bytes, one.wire), (size, wire))

  def test_a_neighbour_is_sent_all(self):
    (one,) = sent(
      '%p = f32[8] collective-permute(%x), channel_id=2, '
      'source_target_pairs={{0,1},{1,2},{2,3},{3,0}}'
    )
    self.assertEqual((one.wire, one.group), (32, 4))


def sent(*lines):
  """The collectives of a program of these lines."""
  body = ''.join(f'  {line}\n' for line in lines)
  text = f'HloModule m\n\nENTRY %main (x: f32[2]) -> f32[8] {{\n{body}}}\n'
  module = hlo.read(text)
  return collectives.find(module, module.runs(), devices=4)


if __name__ == '__main__':
  absltest.main()
