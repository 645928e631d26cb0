"""Memory that is given back is kept, unless the environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from launch import memory

pytestmark = pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc'
)

# Prints how many pages a computation with a temporary of 64 MiB asks the system
# for, its fourth time.
COMPUTES = """
import resource
from launch import memory
memory.keep()
import jax, jax.numpy as jnp

@jax.jit
def step(x):
  return jnp.tanh(x @ x.T) @ x

x = jax.block_until_ready(jnp.ones([2**12, 8]))
for _ in range(4):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  step(x).block_until_ready()
  last = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(last)
"""
PAGES = 2**26 // 2**12  # Of 64 MiB.


def said(program, *arguments, **environment):
  """What a program prints that runs with these variables alone of malloc's."""
  free = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith('MALLOC_') and name != memory.TUNABLES
  }
  ran = subprocess.run(
    [sys.executable, '-c', program, *arguments],
    env=free | {'JAX_PLATFORMS': 'cpu'} | environment,
    check=True,
    stdout=subprocess.PIPE,
    text=True,
  )
  return ran.stdout


def test_a_step_finds_its_temporaries_again():
  anew = int(said(COMPUTES, MALLOC_PERTURB_='0'))
  assert anew > PAGES // 2
  assert int(said(COMPUTES)) < PAGES // 20


def test_the_command_starts_anew_once_with_its_arguments():
  program = 'import sys; print("began"); sys.stdout.flush()\n'
  program += 'from launch import memory; memory.keep(); print(sys.argv[1:])'
  assert said(program, 'a b', '--c').split('\n') == [
    'began',
    'began',
    "['a b', '--c']",
    '',
  ]


CPU = {'JAX_PLATFORMS': 'cpu'}


@pytest.mark.parametrize(
  'environment',
  [
    {'JAX_PLATFORMS': 'cuda,cpu'},
    CPU | {'MALLOC_ARENA_MAX': '2'},
    CPU | {'GLIBC_TUNABLES': 'glibc.malloc.mmap_max=9'},
  ],
)
def test_what_the_environment_says_holds(environment):
  assert memory.wanted(environment) == ''


def test_tunables_of_something_else_stay():
  wanted = memory.wanted(CPU | {'GLIBC_TUNABLES': 'glibc.cpu.x86_ibt=on'})
  assert wanted == f'glibc.cpu.x86_ibt=on:{memory.KEPT}'


def test_an_installed_plugin_means_an_accelerator(monkeypatch):
  monkeypatch.setattr(
    memory.importlib.metadata, 'entry_points', lambda group: [group]
  )
  assert memory.wanted({}) == ''
