"""On a CPU, the memory that a step gives back is there for the next one.

glibc hands large blocks back to the system at once, as XLA's temporaries after
every step are, and the next step waits for each page of them again. Whether it
keeps them is read from the environment when a process starts: set later, by
mallopt, it holds for the first heap alone, and the threads of libraries that
are imported already have heaps of their own.
"""

import importlib.metadata
import importlib.util
import os
import pkgutil
import platform
import sys
from collections.abc import Mapping

TUNABLES = 'GLIBC_TUNABLES'
# One heap for all threads, of which nothing goes back, in pages of 2 MiB where
# the system lends them: then keeping needs no more memory than not keeping.
KEPT = ':'.join(
  f'glibc.malloc.{name}={value}'
  for name, value in {
    'mmap_max': 0,
    'trim_threshold': 10**12,
    'arena_max': 1,
    'hugetlb': 1,
  }.items()
)


def keep() -> None:
  """Starts this command anew, its environment changed, where that helps.

  It helps on a CPU where the C library is glibc. What the environment says of
  malloc already, by any variable MALLOC_… or in GLIBC_TUNABLES, holds instead.
  """
  if tunables := wanted(os.environ):
    os.environ[TUNABLES] = tunables
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def wanted(environment: Mapping[str, str]) -> str:
  """The value of GLIBC_TUNABLES that keeps memory; '' where it is not to be."""
  there = environment.get(TUNABLES, '')
  own = any(name.startswith('MALLOC_') for name in environment)
  if own or 'glibc.malloc' in there or platform.libc_ver()[0] != 'glibc':
    return ''
  if not _on_cpu(environment):
    return ''
  return f'{there}:{KEPT}' if there else KEPT


def _on_cpu(environment):
  """Whether jax will compute on a CPU, as far as is known without it."""
  if platforms := environment.get('JAX_PLATFORMS'):
    return platforms == 'cpu'
  plugins = importlib.util.find_spec('jax_plugins')
  return not (
    importlib.util.find_spec('libtpu')
    or importlib.metadata.entry_points(group='jax_plugins')
    or any(pkgutil.iter_modules(plugins and plugins.submodule_search_locations))
  )
