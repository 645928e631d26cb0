"""Experiments of these tests have few rows: of the eight devices, one has them.

But where a mesh names how many.
"""

import jax
import pytest

from rlhf_jax import sharding

make_mesh = sharding.make_mesh


def on_one_device(shape=None, devices=None):
  if devices is None and (shape is None or -1 in dict(shape).values()):
    devices = jax.devices()[:1]
  return make_mesh(shape, devices)


# Before what a module's or a class's tests share is made.
@pytest.fixture(autouse=True, scope='module')
def one_device():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharding, 'make_mesh', on_one_device)
    yield
