"""The commands of launch/README.md are commands that there are."""

import re
import shlex

import pytest

from launch import gke, hosts, local, plan, pods, slurm
from launch.clusters import commands
from rlhf_jax.planning import chips
from tests.launch.clusters import stand_ins

README = (commands.ROOT / 'launch' / 'README.md').read_text()
LAUNCHERS = {'launch.pods': pods, 'launch.gke': gke, 'launch.slurm': slurm}


def told():
  """The commands of the page, each as its words."""
  for block in re.findall(r'```sh\n(.*?)```', README, flags=re.S):
    for line in block.splitlines():
      if line.startswith('python -m launch.'):
        yield shlex.split(line)[2:]


@pytest.mark.parametrize('words', list(told()), ids=' '.join)
def test_a_command_can_be_given(words, tmp_path, monkeypatch, capfd):
  cluster = stand_ins.Cluster(tmp_path, monkeypatch)
  module, *given = words
  if module == 'launch.hosts':
    assert hosts.parse(given).shared.name == 'runs'
  elif module == 'launch.plan':
    assert chips.parse(plan.parse(given).chips).count > 1
  elif module == 'launch.local':
    assert local.parse(given).command == 'launch.train'
  elif module in LAUNCHERS:
    own, run = commands.split(given)
    assert LAUNCHERS[module].main([*own, '--dry-run', '--', *run]) == 0
    assert capfd.readouterr().out
    assert not (cluster.root / 'calls').exists()
  else:
    assert module == 'launch.train'


def test_every_verb_is_shown():
  shown = {(words[0], words[1]) for words in told()}
  for name, module in LAUNCHERS.items():
    assert {(name, verb) for verb in module.VERBS} <= shown


def test_statuses_are_those_that_restart():
  rows = re.findall(r'^\| (\d+) \|.*\| (.*) \|$', README, flags=re.M)
  again = {int(status) for status, what in rows if what == 'start it again'}
  assert again == set(commands.RESTARTED)
