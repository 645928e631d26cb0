"""A run killed within an epoch goes on with the examples that are due."""

import re

import numpy as np
import pytest

from rlhf_jax.training.metrics import read_jsonl
from tests.experiment import numbered
from tests.experiment.killed import ROOT, contents, kill_in_the_middle, start

pytestmark = pytest.mark.long  # Four processes, half a minute.
FILE = ROOT / 'tests' / 'experiment' / 'numbered.py'
STAGES = ('alike', 'mixed')
EPOCH = numbered.COMMON // numbered.ROWS  # Steps.


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """An unbroken run, and one that was killed in each stage."""
  root = tmp_path_factory.mktemp('epoch')
  unbroken, broken = root / 'unbroken', root / 'broken'
  for folder in (unbroken, broken):
    folder.mkdir()
  assert start(unbroken, FILE).wait(600) == 0, said(unbroken)
  for stage in STAGES:
    kill_in_the_middle(start(broken, FILE), broken, stage, EPOCH + 5)
  assert start(broken, FILE).wait(600) == 0, said(broken)
  return unbroken, broken


def said(folder):
  return (folder / 'log.txt').read_text()


def seen(folder, stage):
  """[steps, ROWS] the examples of every step."""
  rows = read_jsonl(contents(folder, stage) / 'metrics.jsonl')
  assert [row['step'] for row in rows] == list(range(1, len(rows) + 1))
  names = [f'row_{k}' for k in range(numbered.ROWS)]
  return np.array([[row[name] for name in names] for row in rows], int)


@pytest.mark.parametrize('stage', STAGES)
def test_it_was_killed_within_an_epoch(runs, stage):
  (step,) = re.findall(rf'{stage}  resumed at step (\d+)', said(runs[1]))
  assert int(step) % EPOCH


@pytest.mark.parametrize('stage', STAGES)
def test_the_examples_of_every_batch_are_those_of_an_unbroken_run(runs, stage):
  one, other = (seen(folder, stage) for folder in runs)
  np.testing.assert_array_equal(one, other)


def test_every_epoch_has_each_example_once(runs):
  steps = seen(runs[1], 'alike')
  for first in range(0, len(steps), EPOCH):
    found = sorted(steps[first : first + EPOCH].ravel().tolist())
    assert found == list(range(numbered.COMMON))


def test_each_part_of_a_mixture_comes_round_once_before_it_comes_again(runs):
  steps = seen(runs[1], 'mixed')
  rare = steps >= numbered.COMMON
  assert rare.sum(1).tolist() == [2] * len(steps)
  for own, size in ((steps[rare], 40), (steps[~rare], 160)):
    for first in range(0, len(own), size):
      round_ = own[first : first + size].tolist()
      assert len(set(round_)) == len(round_)
