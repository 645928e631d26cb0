"""An experiment in a notebook: its bars, its results, and Ctrl-C in a cell."""

import re
import tempfile
import time

import jupyter_client.manager
from absl.testing import absltest

DEFINED = """
import os
os.environ |= {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''}
from rlhf_jax import experiment, models, sandbox
from rlhf_jax.methods import dpo, sft

def chain(steps):
  return experiment.Experiment(
    seed=1,
    data=sandbox.World(demonstrations=64, comparisons=32),
    model=models.TransformerConfig(
      vocab_size=sandbox.tokenizer().vocab_size, layers=1, width=8, heads=2,
      kv_heads=2, head_width=4, mlp_width=8,
    ),
    limits=experiment.Limits(max_prompt_tokens=32, max_response_tokens=8),
    stages=sft.stages(sft.Config(steps=steps, batch_size=4))
    | dpo.stages(dpo.Config(steps=2, batch_size=4), data='comparisons'),
    evaluation=experiment.Evaluation(count=4, batch_size=4),
  )

def run(steps, out):
  return experiment.run(
    chain(steps), out=f'{FOLDER}/{out}', stages_dir=f'{FOLDER}/stages'
  )
"""


class NotebookTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.kernel, self.client = jupyter_client.manager.start_new_kernel()
    self.addCleanup(self.kernel.shutdown_kernel, now=True)
    self.addCleanup(self.client.stop_channels)
    self.execute(f'FOLDER = {folder!r}\n{DEFINED}')

  def execute(self, code, interrupt_at=None):
    """What a cell prints, what it shows, and the error that ended it."""
    said, shown, error = '', {}, None
    asked, interrupted = self.client.execute(code), False
    end = time.monotonic() + 300
    while time.monotonic() < end:
      message = self.client.get_iopub_msg(timeout=300)
      if message['parent_header'].get('msg_id') != asked:
        continue
      content, kind = message['content'], message['msg_type']
      if kind == 'stream':
        said += content['text']
      elif kind == 'execute_result':
        shown = content['data']
      elif kind == 'error':
        error = content
      elif kind == 'status' and content['execution_state'] == 'idle':
        return said, shown, error
      if interrupt_at and not interrupted and re.search(interrupt_at, said):
        interrupted = True
        self.kernel.interrupt_kernel()
    raise AssertionError(f'the cell did not end: {said}')

  def test_bars_results_and_a_stop(self):
    said, shown, error = self.execute('run(60, "whole")')
    self.assertIsNone(error)
    # One line a stage that moves, whatever its steps.
    moving = [line for line in said.split('\n') if '/60 ' in line]
    self.assertLen(moving, 1)
    self.assertIn('60/60', moving[0].split('\r')[-1])
    self.assertIn('stage 2 of 2', said)
    self.assertRegex(
      said, r'run  1 cpu device; policy of 0\.00\d+ M parameters'
    )
    self.assertNotIn('wins against sft', said)  # It stands there once:
    self.assertIn('wins against sft', shown['text/plain'])
    self.assertIn('<img src="data:image/png;base64,', shown['text/html'])

    long = 'run(100_000, "stopped")'
    said, _, error = self.execute(long, interrupt_at=r'sft: +\d+%.*\d{2}/1')
    self.assertEqual(error['ename'], 'Stopped')
    step = re.search(r'sft is saved at step (\d+)', error['evalue'])
    self.assertIsNotNone(step, error['evalue'])
    said, _, _ = self.execute(long, interrupt_at='resumed at step')
    self.assertIn(f'resumed at step {step[1]}', said)

    _, _, error = self.execute('run(61, "whole")')
    self.assertEqual(error['ename'], 'ExperimentError')
    self.assertIn('stages.sft.config.steps was 60 and is 61', error['evalue'])
    self.assertIn('give another folder', error['evalue'])


if __name__ == '__main__':
  absltest.main()
