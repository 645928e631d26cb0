"""Runs on Slurm, on stand-ins for its programs that record their calls."""

import shlex
import subprocess

import pytest

from launch import slurm
from launch.clusters import commands
from tests.launch.clusters import stand_ins

EXPERIMENT = 'experiments/rlhf/sandbox.py'
RUN = ['--', 'launch.train', EXPERIMENT, '--set', 'name=a b']
SUBMIT = ['submit', 'me', '--nodes', '2', '--gpus-per-node', '8']


@pytest.fixture
def cluster(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return stand_ins.Cluster(tmp_path / 'cluster', monkeypatch)


def submitted(cluster, *more):
  assert slurm.main([*SUBMIT, '--python', '/py', *more, *RUN]) == 0
  (call,) = cluster.calls('sbatch')
  return call


def test_a_job_is_submitted(cluster):
  assert submitted(cluster, '--partition', 'h100', '--sbatch=--mem=0') == [
    '--job-name=me',
    '--nodes=2',
    '--gpus-per-node=8',
    '--ntasks-per-node=1',
    '--exclusive',
    '--time=24:00:00',
    '--signal=TERM@300',
    '--requeue',
    '--open-mode=append',
    '--output=runs/slurm/%j.log',
    '--export=ALL,PYTHON=/py,RESTARTED=75:134:143,RESTARTS=20,WAIT=300',
    '--partition=h100',
    '--mem=0',
    'launch/clusters/slurm.sh',
    *('launch.train', EXPERIMENT, '--set', 'name=a b'),
    *('--processes', 'auto'),
  ]


def test_a_dry_run_prints_what_would_be_called(cluster, capfd):
  called = submitted(cluster)
  assert slurm.main([*SUBMIT, '--python', '/py', '--dry-run', *RUN]) == 0
  *_, line = capfd.readouterr().out.splitlines()
  assert shlex.split(line) == ['sbatch', *called]
  assert len(cluster.calls('sbatch')) == 1


def test_a_process_for_each_gpu(cluster):
  assert '--ntasks-per-node=8' in submitted(cluster, '--processes-per', 'gpu')


def test_a_job_is_stopped_for_good(cluster):
  assert slurm.main(['stop', '17']) == 0
  assert cluster.calls('scontrol') == [['update', 'JobId=17', 'Requeue=0']]
  assert cluster.calls('scancel') == [['--signal=TERM', '17']]


def test_no_nodes_are_one_sentence(cluster, capfd):
  assert slurm.main(['submit', 'me', *SUBMIT[2:], '--nodes', '0', *RUN]) == 1
  assert '--nodes must be 1 or more, got 0' in capfd.readouterr().err


def batch(cluster, status, **environ):
  """Runs the job's script where srun ends with a status."""
  cluster.stand_in(
    'srun',
    'print("devices", os.environ.get("JAX_LOCAL_DEVICE_IDS"))\n'
    'print("process", os.environ.get("JAX_PROCESS_ID"))\n'
    f'sys.exit({status})\n',
  )
  environ = {
    'PATH': f'{cluster.programs}:/usr/bin:/bin',
    'SLURM_SUBMIT_DIR': str(cluster.root),
    'SLURM_JOB_ID': '17',
    'SLURM_GPUS_ON_NODE': '4',
    'SLURM_NTASKS_PER_NODE': '1',
    'JAX_PROCESS_ID': '3',  # Of another run, and in no shell's interest.
    'PYTHON': 'python',
    'RESTARTED': commands.CODES,
    'RESTARTS': '2',
    'WAIT': '300',
    **environ,
  }
  return subprocess.run(
    ['bash', commands.ROOT / slurm.SCRIPT, 'launch.train', 'a b.py'],
    env=environ,
    capture_output=True,
    text=True,
    timeout=60,
  )


@pytest.mark.parametrize('status', [75, 134, 143])
def test_what_was_preempted_is_queued_again(cluster, status):
  assert batch(cluster, status).returncode == status
  assert cluster.calls('scontrol') == [['requeue', '17']]


@pytest.mark.parametrize('status', [0, 1, 2, 70, 137])
def test_what_is_done_or_wrong_is_not(cluster, status):
  assert batch(cluster, status).returncode == status
  assert cluster.calls('scontrol') == []


def test_so_often_and_no_more(cluster):
  assert batch(cluster, 75, SLURM_RESTART_COUNT='2').returncode == 75
  assert cluster.calls('scontrol') == []


def test_a_process_for_a_node_has_all_its_gpus(cluster):
  said = batch(cluster, 0).stdout
  assert 'devices 0,1,2,3\nprocess None\n' in said
  (call,) = cluster.calls('srun')
  assert call == [
    *('--kill-on-bad-exit=0', '--gpu-bind=none', 'python', '-m'),
    *('launch.hosts', 'runs', '--wait', '300', '--', 'launch.train', 'a b.py'),
  ]
  # With one for each GPU, jax takes that of the process's number.
  said = batch(cluster, 0, SLURM_NTASKS_PER_NODE='4').stdout
  assert 'devices None\n' in said
