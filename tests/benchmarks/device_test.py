"""The script for accelerators runs, here on a CPU, and tells what it found."""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from absl.testing import absltest

from rlhf_jax import kernels
from rlhf_jax.models import presets
from tests.benchmarks import device
from tests.benchmarks.on_device import decoding, kernel_cases, machine, parity

ROOT = pathlib.Path(__file__).parents[2]
# What a machine with jax, flax, optax and chex alone lacks.
ABSENT = (
  'grain orbax tokenizers transformers tensorflow_datasets pyarrow jinja2 '
  'safetensors array_record matplotlib'
)
PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT.split()!r}))
from tests.benchmarks import device
device.main(['--tiny', '--out', *sys.argv[1:]])
"""


class DeviceTest(absltest.TestCase):
  def tiny(self, *arguments):
    """What the script finds and prints where nothing else is installed."""
    folder = self.enter_context(tempfile.TemporaryDirectory())
    out = pathlib.Path(folder, 'found.json')
    ran = subprocess.run(
      [sys.executable, '-c', PROGRAM, out, *arguments],
      cwd=ROOT,
      check=True,
      stdout=subprocess.PIPE,
      text=True,
    )
    self.assertIn(f'written: {out}', ran.stdout)
    return json.loads(out.read_text()), ran.stdout

  def test_parts_in_their_tiny_form(self):
    chosen = ['machine', 'parity', 'attention', 'dpo', 'decode']
    found, printed = self.tiny('--parts', *chosen)
    self.assertEqual(list(found)[2:], chosen)
    found['parity'].pop('wall')
    for name, case in found['parity'].items():
      self.assertTrue(case['holds'], f'{name}: {case}')
    for part in chosen:
      self.assertNotIn('failed', found[part])
    self.assertGreater(found['dpo']['mfu'], 0.0)
    self.assertGreater(found['attention']['blocks, 16 tokens'], 0.0)
    self.assertGreater(found['decode']['batch 2']['share_of_bandwidth'], 0.0)
    self.assertRegex(
      printed, r'(?m)^dpo$\n  seconds  +[0-9.e-]+ \(wanted <= 0.8\)$'
    )

  @pytest.mark.long
  def test_the_whole_of_it_in_its_tiny_form(self):
    found, _ = self.tiny()
    self.assertEqual(list(found)[2:], list(device.parts(True, device.TINY)))
    for part in found.values():
      self.assertNotIn('failed', part)
    for part in ('sample', 'score', 'update', 'seconds'):
      self.assertGreater(found['grpo'][part], 0.0)

  def test_every_module_of_kernels_has_a_case(self):
    rng = np.random.default_rng(0)
    cases = kernel_cases.cases(lambda *shape: rng.normal(size=shape), 1)
    modules = {name for name in vars(kernels) if not name.startswith('_')}
    named = {name.split(',')[0] for name in cases}
    # What computes the chunks of `distributions, chunks`.
    self.assertEqual(named, modules - {'chunked_logps'})

  def test_shares_are_of_the_published_peak_where_it_is_known(self):
    own = {'measured_flops': 4.0, 'measured_bandwidth': 5.0}
    part = {
      'sft': {'flops_per_second': 1.0},
      'decode': {'load': 0.1, 'batch 8': {'bytes_per_second': 2.0}},
    }
    found = device.shares({'machine': own, **part})
    self.assertEqual(found['sft']['mfu'], 0.25)
    self.assertEqual(found['decode']['batch 8']['share_of_bandwidth'], 0.4)
    own = own | {'published_flops': 10.0}
    self.assertEqual(device.shares({'machine': own, **part})['sft']['mfu'], 0.1)

  def test_errors_are_in_units_of_the_largest(self):
    actual = {'a': np.array([1.0, 2.5]), 'b': np.array([100.0, -np.inf])}
    expected = {'a': np.array([1.0, 2.0]), 'b': np.array([110.0, -np.inf])}
    error, at = parity.apart(actual, expected)
    self.assertAlmostEqual(error, 0.25)
    self.assertEqual(at, "['a']")
    actual['b'][1] = 0.0  # A number, where there is none.
    self.assertEqual(parity.apart(actual, expected), (np.inf, "['b']"))

  def test_a_case_that_fails_is_told(self):
    def fails(x):
      raise ValueError('no such kernel\nat all')

    case = parity.Case(fails, (np.ones(2),))
    (row,) = parity.measure({'one': case}).values()
    self.assertEqual(
      row, {'failed': 'failed: ValueError: no such kernel', 'holds': False}
    )

  def test_a_step_reads_weights_and_what_was_seen(self):
    # Two layers of four heads of keys and of values, 16 float32 each.
    size = decoding.bytes_of_step(
      presets.sandbox(64), {'table': np.zeros(10, np.float32)}, rows=3, seen=5
    )
    self.assertEqual(size, 40 + 3 * 5 * 2 * 2 * 4 * 16 * 4)

  def test_peaks_are_those_of_the_first_name_that_fits(self):
    self.assertEqual(machine.peaks_of('NVIDIA H100 80GB HBM3')[0], 989e12)
    self.assertEqual(machine.peaks_of('TPU v5 lite')[1], 0.82e12)
    self.assertIsNone(machine.peaks_of('cpu'))


if __name__ == '__main__':
  absltest.main()
