"""Through which files parameters go from the command line to a loss."""

import pathlib
import re
import traceback

import pytest

from launch import train

ROOT = pathlib.Path(__file__).parents[2]
FILE = '''"""DPO from scratch, to its first loss."""
import dataclasses
from rlhf_jax import experiment, sandbox
from rlhf_jax.methods import dpo
from tests.experiment import small
from tests.launch.walk_test import reached

@dataclasses.dataclass(frozen=True)
class Settings:
  seed: int = 0

def config(settings):
  config = dpo.Config(steps=1, batch_size=8, objective=reached)
  return experiment.Experiment(
    seed=settings.seed,
    data=sandbox.World(demonstrations=8, comparisons=8),
    model=small.MODEL,
    limits=small.LIMITS,
    stages=dpo.stages(config, start=None, data='comparisons', name='sft'),
  )
'''


class ReachedError(BaseException):
  """The loss is asked: nobody on the way holds this up."""


def reached(chosen_log_ratios, rejected_log_ratios):
  """An objective that goes no further."""
  raise ReachedError(chosen_log_ratios, rejected_log_ratios)


def test_the_picture_of_the_walk_is_true(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  path = tmp_path / 'walk.py'
  path.write_text(FILE)
  with pytest.raises(ReachedError) as caught:
    train.main([str(path), '--out', str(tmp_path / 'out'),
                '--stages', str(tmp_path / 'stages')])  # fmt: skip
  *way, _ = traceback.extract_tb(caught.value.__traceback__)
  files = [pathlib.Path(frame.filename) for frame in way]
  walked = [
    path.relative_to(ROOT).as_posix()
    for path in files
    if any(path.is_relative_to(ROOT / own) for own in ('launch', 'rlhf_jax'))
  ]
  text = (ROOT / 'README.md').read_text()
  table = text.partition('| on the way | ')[2].partition('\n\n')[0]
  told = re.findall(r'^\| `([\w/]+\.py)` \|', table, flags=re.M)
  *before, loss = told
  assert list(dict.fromkeys(walked)) == before
  assert loss == 'rlhf_jax/losses/pairwise/curves.py'
  said = re.search(r'(\d+) files in (\d+) rooms', text)
  rooms = {path.removeprefix('rlhf_jax/').split('/')[0] for path in told}
  assert [int(n) for n in said.groups()] == [len(told), len(rooms)]
