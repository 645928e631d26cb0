"""Where devices lie in a mesh: by the links of TPUs, else as they are given."""

import importlib.util
import os

import jax
import numpy as np
import pytest

from rlhf_jax import sharding

# What libtpu asks for before it loads, where there is no TPU.
NO_TPU = {
  'TPU_SKIP_MDS_QUERY': '1',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'TPU_WORKER_HOSTNAMES': 'localhost',
}


@pytest.mark.parametrize('shape', [{}, {'fsdp': 4, 'tensor': 2}])
def test_elsewhere_devices_come_as_they_are_given(shape):
  mesh = sharding.make_mesh(shape or None)
  assert list(mesh.devices.flat) == jax.devices()
  turned = jax.devices()[::-1]
  assert list(sharding.make_mesh(shape or None, turned).devices.flat) == turned


@pytest.mark.parametrize(
  ('sizes', 'slices', 'expected'),
  [
    ((1, 64, 4), 1, (1, 1, 1)),
    ((8, 16, 1), 2, (2, 1, 1)),
    ((2, 64, 4), 2, (2, 1, 1)),
    ((1, 64, 4), 2, (1, 2, 1)),  # Weights are gathered across; it is asked for.
    ((2, 64, 1), 4, (2, 2, 1)),
    ((6, 8, 1), 4, (2, 2, 1)),
  ],
)
def test_slices_lie_along_data_first(sizes, slices, expected):
  found = sharding.across_slices(sizes, slices)
  assert found == expected
  assert np.prod(found) == slices


def test_slices_that_do_not_divide_are_one_sentence():
  with pytest.raises(ValueError, match='set mesh.data to a multiple of 2$'):
    sharding.across_slices((1, 1, 16), 2)


@pytest.fixture(scope='module')
def topology():
  if importlib.util.find_spec('libtpu') is None:
    pytest.skip('libtpu is not installed: pip install libtpu')
  from jax.experimental import topologies

  before = dict(os.environ)
  os.environ.update(NO_TPU)
  yield (
    lambda name, **options: (
      topologies.get_topology_desc(
        platform='tpu', topology_name=name, **options
      ).devices
    )
  )
  os.environ.clear()
  os.environ.update(before)


def spread(devices):
  """The sides of the smallest box of chips that holds some."""
  where = np.array([device.coords for device in devices])
  return tuple(int(n) for n in where.max(0) - where.min(0) + 1)


def test_axes_go_along_the_links_of_a_torus(topology):
  # 256 chips as 16 x 16: an axis of 16 is a whole line of the torus, where in
  # the order of the list it would be a block of 8 x 2 or spread over 9 x 15.
  devices = topology('v5e:16x16')
  mesh = sharding.make_mesh({'fsdp': 16, 'tensor': 16}, devices).devices
  lines = {(16, 1, 1), (1, 16, 1)}
  tensor = {spread(mesh[0, i, :]) for i in range(16)}
  fsdp = {spread(mesh[0, :, i]) for i in range(16)}
  assert len(tensor) == len(fsdp) == 1
  assert tensor | fsdp == lines
  assert {d.id for d in mesh.flat} == {d.id for d in devices}


def test_a_slice_holds_whole_replicas(topology):
  devices = topology('v5e:4x4', num_slices=2)
  shape = {'data': 4, 'fsdp': 4, 'tensor': 2}
  mesh = sharding.make_mesh(shape, devices).devices
  of_slice = np.vectorize(lambda device: device.slice_index)(mesh)
  assert of_slice.tolist() == [
    np.full((4, 2), s).tolist() for s in (0, 0, 1, 1)
  ]


def test_chips_that_are_no_block_come_as_they_are_given(topology):
  devices = topology('v5e:4x4')[:3]
  mesh = sharding.make_mesh({'data': 3}, devices)
  assert list(mesh.devices.flat) == list(devices)


def test_rows_are_shared_by_all_devices_or_by_none():
  assert sharding.sharing(7) == 1
  mesh = sharding.make_mesh({'data': 1, 'fsdp': 2}, jax.devices()[:2])
  with jax.set_mesh(mesh):
    assert [sharding.sharing(rows) for rows in (8, 7)] == [2, 1]


@pytest.mark.parametrize(
  ('prompts', 'samples', 'together', 'copies'),
  [
    (8, 1, 8, 1),
    (2, 4, 2, 4),  # Each of the eight has one response.
    (4, 6, 4, 2),
    (6, 4, 2, 4),  # 24 responses, three for each.
    (2, 3, 1, 1),  # Six cannot be shared by eight.
  ],
)
def test_responses_are_shared_where_prompts_are_not(
  prompts, samples, together, copies
):
  with jax.set_mesh(sharding.make_mesh({'data': 4, 'fsdp': 2})):
    assert sharding.sharing(prompts, samples) == together
    assert sharding.copies(prompts, samples) == copies
