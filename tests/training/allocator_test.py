"""Memory that is given back is kept, unless the environment says otherwise."""

import json
import os
import platform
import subprocess
import sys

from absl.testing import absltest, parameterized

# Takes and gives back 64 MiB by malloc, and prints how many pages of it the
# system had to find anew: before `keep_memory`, and after it.
PROGRAM = """
import ctypes, json, resource
from rlhf_jax.training import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  block = ctypes.c_void_p(libc.malloc(2**26))
  ctypes.memset(block, 1, 2**26)
  libc.free(block)
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = [faults(), faults()][-1]
kept = allocator.keep_memory()
second = [faults(), faults()][-1]
print(json.dumps([first, kept, second]))
"""


@absltest.skipUnless(
  platform.libc_ver()[0] == 'glibc', 'the C library is not glibc'
)
class KeepMemoryTest(parameterized.TestCase):
  def run_with(self, **environment):
    free = {
      name: value
      for name, value in os.environ.items()
      if not name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))
    }
    ran = subprocess.run(
      [sys.executable, '-c', PROGRAM],
      env=free | environment,
      check=True,
      stdout=subprocess.PIPE,
    )
    return json.loads(ran.stdout)

  def test_no_page_is_asked_for_twice(self):
    first, kept, second = self.run_with()
    self.assertTrue(kept)
    # Nothing was done on import: the pages, of 2 MiB or less, came anew.
    self.assertGreaterEqual(first, 2**26 // 2**21)
    self.assertLess(second, 8)

  @parameterized.parameters(
    {'MALLOC_PERTURB_': '0'}, {'GLIBC_TUNABLES': 'glibc.malloc.mmap_max=9'}
  )
  def test_what_the_environment_sets_holds(self, **environment):
    first, kept, second = self.run_with(**environment)
    self.assertFalse(kept)
    self.assertGreaterEqual(second, first // 2)


if __name__ == '__main__':
  absltest.main()
