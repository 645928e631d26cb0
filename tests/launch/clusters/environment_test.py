"""What variables say of a process, and which of them mislead it."""

import pytest

from launch import errors
from launch.clusters import environment

GIVEN = {
  'JAX_COORDINATOR_ADDRESS': 'host-0:8476',
  'JAX_NUM_PROCESSES': '4',
  'JAX_PROCESS_ID': '3',
}


def test_a_process_knows_its_place():
  assert environment.place(GIVEN) == (3, 4, 'host-0:8476')


@pytest.mark.parametrize(
  ('changed', 'said'),
  [
    ({'JAX_PROCESS_ID': None}, 'JAX_PROCESS_ID is not; set all three'),
    ({'JAX_PROCESS_ID': '4'}, "JAX_PROCESS_ID is '4'"),
    ({'JAX_NUM_PROCESSES': 'four'}, "JAX_NUM_PROCESSES 'four'"),
    ({'JAX_COORDINATOR_ADDRESS': 'host-0'}, 'must be host:port'),
  ],
)
def test_variables_that_contradict_are_refused(changed, said):
  environ = {k: v for k, v in (GIVEN | changed).items() if v is not None}
  with pytest.raises(errors.OptionError, match=said):
    environment.place(environ)


def test_variables_left_over_on_a_tpu_are_named():
  environ = {'TPU_WORKER_ID': '0', 'MEGASCALE_SLICE_ID': '1', 'PATH': '/bin'}
  (said,) = environment.complaints(environ, tpu_vm=True)
  assert said.startswith('MEGASCALE_SLICE_ID, TPU_WORKER_ID set in')
  assert 'may be gone after a preemption' in said
  # On GKE the same variables are set by the cluster.
  assert environment.complaints(environ, tpu_vm=False) == []


def test_variables_against_slurm_are_named():
  slurm = {'SLURM_JOB_ID': '17', 'SLURM_PROCID': '1', 'SLURM_NTASKS': '4'}
  assert environment.complaints(slurm, tpu_vm=False) == []
  same = slurm | GIVEN | {'JAX_PROCESS_ID': '1'}
  assert environment.complaints(same, tpu_vm=False) == []
  (said,) = environment.complaints(slurm | GIVEN, tpu_vm=False)
  assert said.startswith('JAX_PROCESS_ID is 3 and SLURM_PROCID 1; unset')


def test_a_proxy_between_hosts_is_named():
  (said,) = environment.complaints({'https_proxy': 'p:80'}, tpu_vm=False)
  assert said.startswith('https_proxy set')
  kept_out = {'https_proxy': 'p:80', 'no_proxy': 'host-0,host-1'}
  assert environment.complaints(kept_out, tpu_vm=False) == []


def test_jax_finds_the_place_that_slurm_gives(monkeypatch):
  for name, value in {
    'SLURM_JOB_ID': '17',
    'SLURM_STEP_NODELIST': 'node[3-4]',
    'SLURM_NTASKS': '2',
    'SLURM_PROCID': '1',
    'SLURM_LOCALID': '0',
  }.items():
    monkeypatch.setenv(name, value)
  # The job's number in the last 4096 ports: 65535 - 4095 + 17 mod 4096.
  assert environment.place({}) == (1, 2, 'node3:61457')


def test_a_machine_of_no_cluster_is_told_what_to_set():
  with pytest.raises(errors.OptionError, match='part of no cluster'):
    environment.place({})
