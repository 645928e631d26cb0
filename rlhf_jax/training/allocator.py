"""What becomes of the memory that computations on a CPU give back."""

import ctypes
import os
import platform

import jax

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MOST = 2**31 - 1  # Bytes, the largest number that mallopt takes.


def keep_memory() -> bool:
  """Keeps the memory that a computation gives back, for the next one.

  glibc hands large blocks back to the system at once, as XLA's temporaries
  after each step are, and the next step waits for every page of them again: a
  fourth of its time or more. Kept, they stay with the process until it ends,
  so what else runs on the machine has that much less.

  Call it before the first computation. It does nothing where computations run
  on something else than a CPU, where the C library is not glibc, and where the
  environment sets how malloc works, by any variable MALLOC_… or by
  GLIBC_TUNABLES: then that holds.

  Returns:
    Whether memory is kept from here on.
  """
  if platform.libc_ver()[0] != 'glibc' or jax.default_backend() != 'cpu':
    return False
  if any(name.startswith('MALLOC_') for name in os.environ):
    return False
  if 'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', ''):
    return False
  mallopt = ctypes.CDLL(None).mallopt
  # Blocks of any size come from one heap: other arenas map what is large.
  settings = {M_MMAP_MAX: 0, M_ARENA_MAX: 1, M_TRIM_THRESHOLD: MOST}
  return all(mallopt(name, value) for name, value in settings.items())
