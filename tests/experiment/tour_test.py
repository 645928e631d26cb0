"""The notebook that a newcomer opens runs, cell by cell, on any model."""

import math
import os
import pathlib
import tempfile

import jax
import nbclient
import nbformat
from absl.testing import absltest

from rlhf_jax.data import tokens
from rlhf_jax.models import TransformerConfig, huggingface, language_model

PATH = pathlib.Path(__file__).parents[2] / 'experiments' / 'tour.ipynb'
LONGEST = 30  # Lines of code that a reader looks at in one go.


def made(folder):
  """A folder of a tiny model."""
  tokenizer = tokens.train_bpe(['The capital of France'], vocab_size=280)
  config = TransformerConfig(
    vocab_size=tokenizer.vocab_size,
    layers=2,
    width=16,
    heads=2,
    kv_heads=1,
    head_width=8,
    mlp_width=16,
  )
  huggingface.write(
    folder, config, language_model(config).init(jax.random.key(0))
  )
  tokenizer.save(folder)


def said(cell):
  """What a cell prints and shows, as text."""
  return ''.join(
    out.get('text', '') + out.get('data', {}).get('text/plain', '')
    for out in cell.outputs
  )


class TourTest(absltest.TestCase):
  def test_runs(self):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    made(folder)
    notebook = nbformat.read(PATH, as_version=4)
    for cell in notebook.cells:
      self.assertFalse(cell.get('outputs'), 'outputs are stripped')
      self.assertLessEqual(len(cell.source.splitlines()), LONGEST)
    environment = os.environ | {
      'MODEL': folder,
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': str(PATH.parents[1]),
    }
    nbclient.NotebookClient(notebook, timeout=120).execute(env=environment)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    load, read, *_, loss, steps, plot, gained = code
    self.assertIn('0.0 M parameters', said(load))
    # A token a line, each with a log-prob of a model that knows nothing.
    for line in said(read).splitlines():
      self.assertAlmostEqual(float(line.split()[-1]), -math.log(280), delta=2)
    ours, theirs = map(float, said(loss).split())
    self.assertAlmostEqual(ours, math.log(2), places=5)
    self.assertAlmostEqual(ours, theirs, places=6)
    self.assertFalse(said(steps))
    self.assertIn('image/png', str(plot.outputs))
    chosen, rejected = (
      float(word.strip(',')) for word in said(gained).split()[3:7:2] if word
    )
    self.assertGreater(chosen, rejected)


if __name__ == '__main__':
  absltest.main()
