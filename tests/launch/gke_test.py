"""Runs on GKE, on stand-ins for kubectl and xpk that record their calls."""

import pytest
import yaml

from launch import gke
from tests.launch.clusters import stand_ins

EXPERIMENT = 'experiments/rlhf/sandbox.py'
RUN = ['--', 'launch.train', EXPERIMENT, '--set', 'name=a b']
PROGRAM = ['launch.train', EXPERIMENT, '--set', 'name=a b']
SLICE = ['--accelerator', 'tpu-v5-lite-podslice', '--topology', '8x8']
GPUS = ['--accelerator', 'nvidia-h100-80gb', '--hosts', '2']
IMAGE = ['--image', 'region/project/rlhf_jax:1']
SUBMIT = ['submit', 'me', *IMAGE, '--claim', 'runs']


@pytest.fixture
def cluster(tmp_path, monkeypatch):
  return stand_ins.Cluster(tmp_path, monkeypatch)


def submitted(cluster, *more):
  """The JobSet that kubectl was given, and the pods of it."""
  assert gke.main([*SUBMIT, *more, *RUN]) == 0
  (call,), (text,) = cluster.calls('kubectl'), cluster.texts('kubectl')
  assert call == ['--namespace', 'default', 'apply', '-f', '-']
  jobset = yaml.safe_load(text)
  (job,) = jobset['spec']['replicatedJobs']
  return jobset, job, job['template']['spec']['template']['spec']


def test_a_slice_is_a_job_with_a_pod_for_each_host(cluster):
  jobset, job, pod = submitted(cluster, *SLICE, '--slices', '2')
  assert job['replicas'] == 2
  spec = job['template']['spec']
  # 64 chips, of which a host has 4.
  assert (spec['parallelism'], spec['completions']) == (16, 16)
  assert pod['nodeSelector'] == {
    'cloud.google.com/gke-tpu-accelerator': 'tpu-v5-lite-podslice',
    'cloud.google.com/gke-tpu-topology': '8x8',
  }
  (container,) = pod['containers']
  assert container['resources'] == {'limits': {'google.com/tpu': 4}}
  assert 'env' not in container  # GKE sets what jax reads.
  ((_, pool),) = jobset['metadata']['annotations'].items()
  assert pool == 'cloud.google.com/gke-nodepool'


def test_the_program_is_what_receives_signals(cluster):
  _, _, pod = submitted(cluster, *SLICE)
  (container,) = pod['containers']
  assert container['command'] == [
    *('python', '-m', 'launch.hosts', 'runs', '--wait', '1800', '--'),
    *PROGRAM,
    *('--processes', 'auto'),
  ]
  assert container['volumeMounts'][0] == {
    'name': 'runs',
    'mountPath': '/rlhf_jax/runs',
  }
  claim = pod['volumes'][0]['persistentVolumeClaim']
  assert claim == {'claimName': 'runs'}


def test_it_restarts_on_preemption_and_not_on_a_users_error(cluster):
  jobset, job, pod = submitted(cluster, *SLICE, '--restarts', '5')
  assert jobset['spec']['failurePolicy'] == {
    'maxRestarts': 5,
    'rules': [
      {
        'name': 'users_error',
        'action': 'FailJobSet',
        'onJobFailureReasons': ['PodFailurePolicy'],
      }
    ],
  }
  spec = job['template']['spec']
  assert spec['backoffLimit'] == 0
  disrupted, failed = spec['podFailurePolicy']['rules']
  assert disrupted == {
    'action': 'Count',
    'onPodConditions': [{'type': 'DisruptionTarget'}],
  }
  assert failed == {
    'action': 'FailJob',
    'onExitCodes': {
      'containerName': 'run',
      'operator': 'NotIn',
      'values': [75, 134, 143],
    },
  }
  assert pod['restartPolicy'] == 'Never'


def test_gpu_nodes_are_told_who_they_are(cluster):
  _, job, pod = submitted(cluster, *GPUS, '--spot')
  assert job['template']['spec']['parallelism'] == 2
  (container,) = pod['containers']
  assert container['resources'] == {'limits': {'nvidia.com/gpu': 8}}
  address, count, number = container['env']
  # <JobSet>-<Job>-<number of the Job>-<number of the pod>.<JobSet>
  assert address['value'] == 'me-slice-0-0.me:8476'
  assert (address['name'], count['name'], number['name']) == (
    *('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'),
  )
  assert count['value'] == '2'
  assert 'completion-index' in str(number['valueFrom'])
  assert pod['nodeSelector'] == {
    'cloud.google.com/gke-accelerator': 'nvidia-h100-80gb',
    'cloud.google.com/gke-spot': 'true',
  }


@pytest.mark.parametrize(
  ('nodes', 'said'),
  [
    (['--accelerator', 'tpu-v6e-slice'], '--topology must be sizes'),
    ([*SLICE[:3], '3x3'], 'has 9 chips, which hosts of 4 do not make'),
    ([*SLICE, '--hosts', '4'], 'has 16 hosts of 4 chips, and --hosts says 4'),
    ([*GPUS, '--slices', '2'], 'are for TPUs alone'),
  ],
)
def test_nodes_that_cannot_be_are_one_sentence(cluster, nodes, said, capfd):
  assert gke.main([*SUBMIT, *nodes, *RUN]) == 1
  error = capfd.readouterr().err
  assert said in error and len(error.splitlines()) == 1
  assert cluster.calls('kubectl') == []


def test_names_cannot_become_yaml(cluster):
  _, _, pod = submitted(cluster, *SLICE, '--queue', 'a: [b', '--claim', '"x')
  assert pod['volumes'][0]['persistentVolumeClaim'] == {'claimName': '"x'}


def test_xpk_is_told_the_same(cluster):
  where = ['--cluster', 'c', '--zone', 'z', '--tpu-type', 'v5litepod-64']
  assert gke.main(['xpk', 'me', *IMAGE, *where, '--storage', 's', *RUN]) == 0
  (call,) = cluster.calls('xpk')
  given = dict(zip(call[2::2], call[3::2], strict=True))
  assert call[:2] == ['workload', 'create']
  assert given['--restart-on-exit-codes'] == '75,134,143'
  assert given['--max-restarts'] == '20'
  # In place of the shell, which would keep signals to itself.
  assert given['--command'] == (
    'cd /rlhf_jax && exec python -m launch.hosts runs --wait 1800 -- '
    f"launch.train {EXPERIMENT} --set 'name=a b' --processes auto"
  )


def test_the_log_is_that_of_the_first_process(cluster):
  for verb in ('logs', 'status', 'delete'):
    assert gke.main([verb, 'me', '--namespace', 'mine']) == 0
  logs, jobset, pods, delete = (c[2:] for c in cluster.calls('kubectl'))
  assert logs == [
    *('logs', '--follow', '--tail=1000', '--selector'),
    'jobset.sigs.k8s.io/jobset-name=me,jobset.sigs.k8s.io/job-index=0,'
    'batch.kubernetes.io/job-completion-index=0',
  ]
  assert jobset == ['get', 'jobset', 'me']
  assert pods[-1] == 'jobset.sigs.k8s.io/jobset-name=me'
  assert delete == ['delete', 'jobset', 'me']


def test_a_dry_run_is_what_a_shell_takes(cluster, capfd):
  assert gke.main([*SUBMIT, *SLICE, '--dry-run', *RUN]) == 0
  said = capfd.readouterr().out
  first, *text, last = said.splitlines()
  assert first == "kubectl --namespace default apply -f - <<'EOF'"
  assert last == 'EOF'
  assert yaml.safe_load('\n'.join(text))['metadata']['name'] == 'me'
  assert cluster.calls('kubectl') == []
