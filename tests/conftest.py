"""Every test sees eight CPU devices and no silent rank promotion."""

import collections
import os
import signal

from tests import compilation

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    compilation.FLAGS,
  ]
)

# A program over several CPU devices that is read back from a persistent cache
# runs its collectives in no order, and devices wait for each other for ever:
# XLA aborts them after 40 seconds. Compiled afresh it keeps their order.
os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'

import jax

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
