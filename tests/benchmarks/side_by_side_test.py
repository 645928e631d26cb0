"""The comparison runs, by turns, and keeps what is asked of it."""

import io
import json
import os
import pathlib
import tempfile
from contextlib import redirect_stdout
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from tests.benchmarks import side_by_side, turns
from tests.benchmarks.sides import work

# A side that writes its name at every step.
FAKE = """
import sys
sys.path.insert(0, {sides!r})
import work
job, gate = work.asked(), work.Gate()
def step():
  with open({log!r}, 'a') as file:
    file.write({name!r})
  return lambda: None
gate.repeat(step)
"""


class WorkTest(parameterized.TestCase):
  def test_flops_are_those_of_the_products(self):
    # By hand: 2 layers of width 32, 4 heads of 8 over 2 of keys, MLP of 64,
    # 64 tokens; rows of 8. Half of a square of scores, and of their mixture.
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64
    read = 8 * 2 * (2 * layer + 32 * 64) + 2 * 2 * (2 * 32 * 8 * 8) // 2
    job = work.JOBS['sft_s'].tiny()
    self.assertEqual(job.flops, 3 * 4 * read)
    self.assertEqual(work.JOBS['dpo_s'].tiny().flops, 4 * 2 * 4 * read)
    scores = read - 8 * 2 * 32 * 64  # No logits.
    self.assertEqual(work.JOBS['reward_s'].tiny().flops, 3 * 2 * 4 * scores)

  def test_pairs_share_their_prompt_and_end(self):
    job = work.JOBS['dpo_s'].tiny()
    ids = job.ids(2)
    self.assertEqual(ids.shape, (8, 4, 2, 8))
    np.testing.assert_array_equal(ids[:, :, 0, :4], ids[:, :, 1, :4])
    self.assertTrue((ids[..., 4:7] >= work.FIRST).all())
    self.assertTrue((ids[..., -1] == work.EOS).all())
    self.assertTrue((ids < job.shape.vocab).all())

  def test_the_jobs_are_those_of_the_table(self):
    names = ' '.join(work.JOBS)
    self.assertEqual(
      names,
      'sft_s sft_m dpo_s dpo_m dpo_s_1024 reward_s generate_s generate_m ppo_s '
      'grpo_s sft_cold ppo_cold',
    )
    self.assertEqual(work.JOBS['dpo_s_1024'].length, 1024)


class DriverTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)
    self.out = self.folder / 'results' / 'found.json'
    free = {k: v for k, v in os.environ.items() if not k.startswith('BENCH_')}
    self.enter_context(mock.patch.dict(os.environ, free, clear=True))

  def run_main(self, *arguments):
    printed = io.StringIO()
    with redirect_stdout(printed):
      side_by_side.main(
        [*arguments, '--tiny', '--prefix', '', '--out', str(self.out)]
      )
    return json.loads(self.out.read_text()), printed.getvalue()

  def fake(self, **names):
    """Puts fake sides in place of the scripts."""
    for kind, name in names.items():
      path = self.folder / f'{kind}.py'
      path.write_text(
        FAKE.format(
          sides=str(turns.HERE / 'sides'),
          log=str(self.folder / 'log'),
          name=name,
        )
      )
      self.enter_context(mock.patch.dict(turns.SCRIPTS, {kind: str(path)}))

  def test_sides_take_turns_and_peers_that_are_not_there_are_told(self):
    self.fake(product='p', ours='o')
    self.out.parent.mkdir()
    self.out.write_text('{"dpo_s": {"ours": [1.0]}}')
    found, printed = self.run_main(
      'sft_s', '--rounds', '2', '--steps', '3', '--warm', '1'
    )
    log = (self.folder / 'log').read_text()
    self.assertEqual(log, 'pp' + 'oo' + 2 * (10 * 'p' + 3 * 'o'))
    self.assertLen(found['sft_s']['ours'], 2)
    self.assertEqual(found['dpo_s'], {'ours': [1.0]})
    self.assertIn('trl: left out, BENCH_TRL_PYTHON is not set', printed)
    self.assertIn('tunix: left out, BENCH_TUNIX_PYTHON is not set', printed)

  def test_cold_is_a_process_each_round(self):
    self.fake(ours='o')
    found, _ = self.run_main('ppo_cold', '--rounds', '3', '--sides', 'ours')
    self.assertEqual((self.folder / 'log').read_text(), 'ooo')
    self.assertLen(found['ppo_cold']['ours'], 3)

  def test_a_side_that_ends_is_told_with_its_last_words(self):
    self.fake(product='p', ours='o')
    (self.folder / 'ours.py').write_text('raise SystemExit("no such work")')
    found, printed = self.run_main('sft_s', '--sides', 'ours')
    self.assertIn('ours: left out, it ended early: no such work', printed)
    self.assertIsNone(found['sft_s']['share_of_peak'])

  def test_the_share_of_the_peak_is_of_processor_seconds(self):
    job = work.JOBS['sft_s']
    peak = turns.Times([9.0], [turns.PEAK_FLOPS / 2e11])  # 200 GFLOP/s.
    ours = turns.Times([9.0], [job.flops / 5e10])
    found = side_by_side.kept(job, {'product': peak, 'ours': ours})
    self.assertAlmostEqual(found['share_of_peak'], 0.25)
    self.assertEqual(found['ours'], [9.0])

  @parameterized.parameters(
    ('trl', 'ppo_s', {'BENCH_TRL_PYTHON': 'p'}, 'BENCH_TRL_PPO is not set'),
    ('tunix', 'reward_s', {'BENCH_TUNIX_PYTHON': 'p'}, 'no trainer of reward'),
  )
  def test_what_a_peer_has_not_is_told(self, kind, job, environment, words):
    with (
      mock.patch.dict(os.environ, environment),
      self.assertRaisesRegex(turns.Missing, words),
    ):
      turns.python_of(kind, work.JOBS[job])

  def test_our_side_learns(self):
    found, _ = self.run_main(
      'sft_s', '--sides', 'ours', '--rounds', '1', '--steps', '1', '--warm', '1'
    )
    self.assertGreater(found['sft_s']['share_of_peak'], 0.0)

  @pytest.mark.long
  def test_our_side_does_all_jobs(self):
    found, _ = self.run_main('--rounds', '1', '--steps', '1', '--sides', 'ours')
    for job in work.JOBS:
      self.assertLen(found[job]['ours'], 1, job)


if __name__ == '__main__':
  absltest.main()
