"""Runs on TPU VMs, on a stand-in for gcloud whose hosts are folders."""

import json
import os
import shutil
import signal
import time

import pytest

from launch import pods
from launch.clusters import commands, queued
from tests.launch.clusters import stand_ins

POD = ['me', '--zone', 'us-west4-a']
RESOURCE = ['--type', 'v5litepod-16', '--runtime', 'v2-alpha-tpuv5-lite']
RUN = ['--', 'launch.train', 'experiments/mine.py', '--set', 'name=a b']


@pytest.fixture
def cluster(tmp_path, monkeypatch):
  code = tmp_path / 'code'
  shutil.copytree(
    commands.ROOT / 'launch' / 'clusters', code / 'launch/clusters'
  )
  for name in ('rlhf_jax', 'experiments'):
    (code / name).mkdir()
  for name in ('setup.py', 'README.md', 'experiments/mine.py'):
    (code / name).touch()
  monkeypatch.setattr(commands, 'ROOT', code)
  monkeypatch.setattr(pods, 'LOOK_SECONDS', 0.1)
  monkeypatch.setenv('PAUSE', '0')
  (tmp_path / 'shared').mkdir()
  return stand_ins.Cluster(tmp_path / 'cluster', monkeypatch)


def run(cluster, *more):
  shared = cluster.root.parent / 'shared'
  return pods.main(
    ['run', *POD, *RESOURCE, '--shared', str(shared), *more, *RUN]
  )


def verbs(cluster):
  return [call[3] for call in cluster.calls('gcloud')]


def test_a_run_is_created_installed_started_and_done(cluster, capfd):
  cluster.pod(['WAITING_FOR_RESOURCES', 'ACTIVE'], [0])
  assert run(cluster, '--spot') == 0
  create, *_ = (c for c in cluster.calls('gcloud') if c[3] == 'create')
  assert create == [
    *('compute', 'tpus', 'queued-resources', 'create', 'me'),
    *('--zone', 'us-west4-a', '--accelerator-type', 'v5litepod-16'),
    *('--runtime-version', 'v2-alpha-tpuv5-lite', '--node-id', 'me-0'),
    '--spot',
  ]
  for host in ('host-0', 'host-1'):
    home = cluster.root / host
    assert (home / 'rlhf_jax/runs').resolve() == cluster.root.parent / 'shared'
    assert json.loads((home / 'started-0').read_text()) == [
      *('-m', 'launch.hosts', 'runs', '--', 'launch.train'),
      *('experiments/mine.py', '--set', 'name=a b', '--processes', 'auto'),
    ]
  assert 'still costs money' in capfd.readouterr().out
  assert 'delete' not in verbs(cluster)


def test_it_starts_again_on_what_says_so(cluster):
  cluster.pod(['ACTIVE'], [75, 134, 143, 0])
  assert run(cluster) == 0
  for host in ('host-0', 'host-1'):
    assert len(list((cluster.root / host).glob('started-*'))) == 4
  assert verbs(cluster).count('create') == 1


@pytest.mark.parametrize('status', [1, 137])
def test_an_error_of_its_user_is_told_and_not_repeated(cluster, status, capfd):
  cluster.pod(['ACTIVE'], [status])
  assert run(cluster, '--delete-when-done') == status
  assert len(cluster.calls('of_the_host')) == 2  # Once on each host.
  assert f'host-1: the run ended with {status}' in capfd.readouterr().out
  assert verbs(cluster)[-1] == 'delete'


def test_it_is_restarted_so_often_and_no_more(cluster):
  cluster.pod(['ACTIVE'], [75])
  assert run(cluster, '--restarts', '2') == 75
  assert len(cluster.calls('of_the_host')) == 2 * 3


def test_a_preempted_pod_is_asked_for_again(cluster, capfd):
  # Of the first pod: asked twice until it is there, then it goes away.
  cluster.pod(['ACTIVE', 'ACTIVE', 'SUSPENDED'], ['waits'])
  made, create = [], pods.create

  def counted(options, shell):
    made.append(options.name)
    if len(made) == 2:
      cluster.pod(['PROVISIONING', 'ACTIVE'], [0])
    create(options, shell)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pods, 'create', counted)
    assert run(cluster) == 0
  assert made == ['me', 'me']
  order = [v for v in verbs(cluster) if v in ('create', 'scp', 'delete')]
  assert order == ['create', 'scp', 'delete', 'create', 'scp']
  delete = next(c for c in cluster.calls('gcloud') if c[3] == 'delete')
  assert delete[4:] == ['me', '--zone', 'us-west4-a', '--force', '--quiet']
  assert 'me is SUSPENDED; asking for it again' in capfd.readouterr().out


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_was_started_anew_goes_on(cluster, how, capfd):
  cluster.pod(['ACTIVE'], ['waits', 0])
  looks, hosts = [], queued.hosts

  def killed(shell, options):
    looks.append(1)
    if len(looks) == 2:  # Once before it is started, then while it runs.
      wait_for(lambda: len(cluster.calls('of_the_host')) == 2)
      pid = (cluster.root / 'host-1/rlhf_jax_run/pid').read_text()
      os.killpg(int(pid), how)
      wait_for(lambda: 'lost' in hosts(shell, options).values())
    if len(looks) == 4:  # It is there again, and its peer has noticed.
      (cluster.root / 'go').touch()
    return hosts(shell, options)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(queued, 'hosts', killed)
    assert run(cluster) == 0
  assert 'a host was started anew' in capfd.readouterr().out
  assert verbs(cluster).count('create') == 1
  for host in ('host-0', 'host-1'):
    assert len(list((cluster.root / host).glob('started-*'))) == 2


def test_a_pod_that_is_preempted_while_it_is_installed(cluster, monkeypatch):
  cluster.pod(['ACTIVE', 'SUSPENDED'], [0])
  install = pods.install

  def failing(options, shell):
    monkeypatch.setattr(pods, 'install', install)
    cluster.pod(['ACTIVE'], [0])
    raise commands.CommandError('no route to host')

  monkeypatch.setattr(pods, 'install', failing)
  assert run(cluster) == 0
  assert verbs(cluster).count('create') == 2


def test_a_resource_that_failed_is_said(cluster, capfd):
  cluster.pod(['FAILED'], [0])
  assert run(cluster) == 1
  assert 'me is FAILED' in capfd.readouterr().err


def test_slices_are_nodes_of_one_resource(cluster, capfd):
  create = ['create', *POD, *RESOURCE, '--slices', '2', '--dry-run']
  assert pods.main(create) == 0
  assert capfd.readouterr().out == (
    'gcloud compute tpus queued-resources create me --zone us-west4-a '
    '--accelerator-type v5litepod-16 --runtime-version v2-alpha-tpuv5-lite '
    '--node-count 2 --node-prefix me\n'
  )


def test_a_dry_run_calls_nothing_and_prints_all(cluster, capfd):
  cluster.pod(['ACTIVE'], [0])
  assert run(cluster, '--dry-run', '--nfs', '10.0.0.2:/share') == 0
  assert cluster.calls('gcloud') == []
  said = capfd.readouterr().out
  lines = [line for line in said.splitlines() if line.startswith('gcloud')]
  assert [line.split()[4] for line in lines] == [
    *('create', 'ssh', 'scp', 'ssh', 'ssh', 'ssh', 'describe', 'ssh')
  ]
  assert 'worker.sh install' in said and '10.0.0.2:/share' in said
  assert 'RESTARTED=75:134:143 RESTARTS=20 bash rlhf_jax' in said


def test_what_costs_waits_for_a_run_that_can_be(cluster, capfd):
  cluster.pod(['ACTIVE'], [0])
  command = ['run', *POD, *RESOURCE, '--', 'launch.train', 'experiments/not.py']
  assert pods.main(command) == 1
  assert 'experiments/not.py is not a file' in capfd.readouterr().err
  assert pods.main(['run', *POD, *RESOURCE]) == 1
  assert 'name what is to run behind --' in capfd.readouterr().err
  assert cluster.calls('gcloud') == []


def test_a_missing_program_is_one_sentence(tmp_path, monkeypatch, capfd):
  monkeypatch.setenv('PATH', str(tmp_path))
  assert pods.main(['stop', *POD]) == 1
  said = capfd.readouterr().err
  assert said.startswith('error: gcloud is not installed, or not on the PATH')
  assert len(said.splitlines()) == 1


def test_a_run_that_is_stopped_ends_and_is_not_restarted(cluster):
  cluster.pod(['ACTIVE'], ['waits'])
  for verb in ('create', 'install', 'start', 'stop'):
    more = RESOURCE if verb == 'create' else []
    if verb == 'install':
      more = ['--shared', str(cluster.root.parent / 'shared')]
    if verb == 'stop':
      wait_for(lambda: len(cluster.calls('of_the_host')) == 2)
    assert pods.main([verb, *POD, *more, *RUN]) == 0
  statuses = [cluster.root / f'host-{i}/rlhf_jax_run/status' for i in (0, 1)]
  wait_for(lambda: all('ended' in s.read_text() for s in statuses))
  assert [s.read_text() for s in statuses] == ['ended 143\n'] * 2
  assert len(cluster.calls('of_the_host')) == 2


def wait_for(true, seconds=10.0):
  until = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < until
    time.sleep(0.05)
