"""A notebook's cell, edited and run again, in a real kernel."""

import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[2]
BEGIN = f"""
import os, sys
os.environ['JAX_PLATFORMS'] = 'cpu'
sys.path.insert(0, {str(ROOT)!r})
import dataclasses
import numpy as np
from rlhf_jax.addressing import Code
from rlhf_jax.kernels import masking
code = lambda: Code()
"""
LOSS = """
def loss(losses, mask):
  return {scale} * masking.token_mean(losses, mask).value
"""
SCALE = 'SCALE = {scale}'
GLOBAL = """
def globally(losses, mask):
  return SCALE * helper(losses, mask)
"""
HELPER = """
def helper(losses, mask):
  return masking.{reduction}(losses, mask).value
"""
CLASS = """
@dataclasses.dataclass(frozen=True)
class Reward:
  scale: float = 1.0

  def __call__(self, prompts, responses):
    return [self.scale * {scale} for _ in responses]
"""
SHOW = (
  'print(code().name(loss), code().name(globally), code().describe(Reward()))'
)


@pytest.fixture(scope='module')
def kernel():
  """Runs a cell; returns what it printed."""
  notebook = nbformat.v4.new_notebook()
  client = nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3')
  with client.setup_kernel():

    def run(text):
      cell = nbformat.v4.new_code_cell(text)
      notebook.cells.append(cell)
      client.execute_cell(cell, len(notebook.cells) - 1)
      return ''.join(out.get('text', '') for out in cell.outputs)

    run(BEGIN)
    yield run


def shown(kernel, **edited):
  cells = {
    'scale': 1,
    'global_scale': 1,
    'reduction': 'token_mean',
    'method': 1,
  } | edited
  kernel(LOSS.format(scale=cells['scale']))
  kernel(SCALE.format(scale=cells['global_scale']))
  kernel(HELPER.format(reduction=cells['reduction']))
  kernel(GLOBAL)
  kernel(CLASS.format(scale=cells['method']))
  said = kernel(SHOW)
  loss, _, globally, _, *reward = said.split()
  return {'loss': loss, 'globally': globally, 'reward': ' '.join(reward)}


@pytest.mark.parametrize(
  'edit, moved',
  [
    ({}, set()),
    ({'scale': 2}, {'loss'}),
    ({'global_scale': 2}, {'globally'}),
    ({'reduction': 'sequence_mean'}, {'globally'}),
    ({'method': 2}, {'reward'}),
  ],
)
def test_an_edited_cell_is_other_code(kernel, edit, moved):
  before, after = shown(kernel), shown(kernel, **edit)
  assert {name for name in before if before[name] != after[name]} == moved


def test_what_nothing_tells_apart_is_named(kernel):
  kernel('opened = object()\ndef reads(x):\n  return opened')
  with pytest.raises(
    nbclient.exceptions.CellExecutionError,
    match='reads reads opened, a object, whose content nothing tells',
  ):
    kernel('code().name(reads)')
