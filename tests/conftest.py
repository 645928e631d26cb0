"""Every test sees eight CPU devices and no silent rank promotion."""

import collections
import os
import signal

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Most of a test's time is compilation, which is faster by a quarter where LLVM
# does not optimise the code; programs, their FLOPs and memory stay the same.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    '--xla_backend_optimization_level=0',
  ]
)

# Not in processes that tests start; in this one see `pytest_configure`.
os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'

import jax
from jax._src import compilation_cache

from rlhf_jax.training import stopping

# A shell starts what runs in the background with interrupts ignored, which the
# processes that tests start would inherit.
for number, handler in (
  (signal.SIGINT, signal.default_int_handler),
  (signal.SIGHUP, signal.SIG_DFL),
):
  if signal.getsignal(number) == signal.SIG_IGN:
    signal.signal(number, handler)

jax.config.update('jax_numpy_rank_promotion', 'raise')


def pytest_configure(config):
  """What one test compiled, other tests and the next run read.

  Half of what a run compiles, another test compiled before it. Programs of one
  device alone are kept: one over several CPU devices that is read back runs its
  collectives in no order, devices wait for each other for ever, and XLA aborts
  them after 40 seconds. Compiled afresh it keeps their order.
  """
  if not hasattr(config, 'cache'):  # `-p no:cacheprovider`.
    return
  jax.config.update('jax_enable_compilation_cache', True)
  jax.config.update(
    'jax_compilation_cache_dir', str(config.cache.mkdir('compiled'))
  )
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  keep = compilation_cache.put_executable_and_time

  def keep_of_one_device(key, name, executable, *rest):
    if len(executable.local_devices()) == 1:
      keep(key, name, executable, *rest)

  compilation_cache.put_executable_and_time = keep_of_one_device


def pytest_runtest_teardown(item, nextitem):
  """Drops what was compiled with the last test of a module.

  Thousands of programs are more than a process may map into its memory. A stop
  that a test asked for is none of the next test's.
  """
  stopping.reset()
  if nextitem is None or nextitem.path != item.path:
    jax.clear_caches()


def pytest_terminal_summary(terminalreporter):
  """Counts the golden cases: how many ran, and what has no counterpart yet."""

  def noted(outcome, name):
    return [
      value
      for report in terminalreporter.stats.get(outcome, [])
      for key, value in getattr(report, 'user_properties', ())
      if key == name
    ]

  passed, missing = noted('passed', 'golden'), noted('skipped', 'golden')
  if not passed and not missing:
    return
  kinds = ': kinds ' + ', '.join(sorted(set(missing))) if missing else ''
  terminalreporter.write_line(
    f'golden: {len(passed)} cases passed, {len(missing)} not covered{kinds}'
  )
  for why, count in collections.Counter(noted('passed', 'golden_gap')).items():
    terminalreporter.write_line(f'golden: {count} outputs {why}')
