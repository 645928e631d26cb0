"""Stops from outside: Ctrl-C, and the signals of schedulers and terminals.

The first one lets the step that is being made end, saves it, and ends the
command with 130 (Ctrl-C), 143 (SIGTERM) or 129 (SIGHUP); one more ends it at
once. Either way the same command goes on from what was saved.
"""

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from launch import joining
from rlhf_jax import processes
from rlhf_jax.training import stopping

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Whoever stops a group of processes may reach one of them twice.
SAME_SECONDS = 0.5
# That the first process waits for the others to say theirs: they end with it.
LAST_WORDS = 1.0
EPILOG = (
  'Exit status: 0 done, 1 an error that you can mend, 2 a mistyped option, '
  '70 a bug, with a report in the --out folder, 130 stopped by Ctrl-C, 143 by '
  'SIGTERM, 129 by SIGHUP, 141 whoever read the output went away. A stopped '
  'run saves where it is, and the same command goes on from there; a second '
  'signal ends it at once. Of several processes all stop together, with 75, as '
  'they do where one of them is gone.'
)


_first: list[signal.Signals] = []  # The one that stopped us, if any did.
_at_once: list[Callable[[], None]] = []


def obeyed(run: Callable[[], int]) -> int:
  """Runs a command to its end, or to where a signal stops it.

  Returns:
    Its exit status, or that of the signal; one line says what was kept.
  """
  with listening():
    try:
      return run()
    except KeyboardInterrupt as e:
      kept = getattr(e, 'kept', '') or 'what was done is kept'
      above = '\n' if sys.stderr.isatty() else ''  # The terminal's ^C.
      said = f'stopped; {kept}, and the same command goes on from there'
      if not joining.joined() or processes.first():
        print(above + said, file=sys.stderr, flush=True)
      return status()


def keeps_nothing(command: Callable[..., int | None]):
  """A command that, once stopped, has nothing to go on from, nor says so."""

  @functools.wraps(command)
  def stopping_plainly(options):
    try:
      return command(options)
    except KeyboardInterrupt:
      print('stopped', file=sys.stderr)
      return status()

  return stopping_plainly


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Turns signals into stops, in the main thread, while the block runs.

  A signal that is ignored, as nohup has it, stays so.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  _first.clear()
  stopping.reset()
  before = {number: signal.getsignal(number) for number in SIGNALS}
  hook, sys.unraisablehook = sys.unraisablehook, _quiet(sys.unraisablehook)
  with _ended_by_second():
    for number, handler in before.items():
      if handler is not signal.SIG_IGN:
        signal.signal(number, _on_signal)
    try:
      yield
    finally:
      sys.unraisablehook = hook
      for number, handler in before.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def at_once(what: Callable[[], None]) -> Iterator[None]:
  """While the block runs, a second signal does this before all ends."""
  _at_once.append(what)
  try:
    yield
  finally:
    _at_once.remove(what)


def received() -> signal.Signals:
  """The signal that stopped the command; that of Ctrl-C by default."""
  return _first[0] if _first else signal.SIGINT


def status() -> int:
  """What a shell says of a command that a signal ended.

  Of several processes all end as one that is to be started again.
  """
  return joining.AGAIN if joining.joined() else 128 + received()


def leave(exit_status: int) -> None:
  """Ends the process; a stopped one waits neither for threads nor services."""
  for number in SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, lambda number, _: os._exit(128 + number))
  alone = exit_status and joining.joined()  # The others may not end with us.
  if not _first and not alone:
    sys.exit(exit_status)
  _flush()
  if alone and processes.first():
    time.sleep(LAST_WORDS)
  os._exit(exit_status)


def _on_signal(number, frame):
  del frame
  if joining.joined():  # JAX's runtime has its own handler of this one.
    os.kill(os.getpid(), signal.SIGTERM)
  elif not _first:
    _first.append(signal.Signals(number))
    stopping.ask()


@contextlib.contextmanager
def _ended_by_second():
  """Ends the process at a second signal, while the block runs.

  From a thread: no handler runs while the main one compiles or computes.
  """
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  thread = threading.Thread(target=_watch, args=(reader,), daemon=True)
  thread.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    os.close(writer)
    thread.join()
    os.close(reader)


def _watch(reader):
  first, since = None, 0.0
  while number := os.read(reader, 1):
    if number[0] not in SIGNALS:
      continue
    if first is None:
      first, since = number[0], time.monotonic()
    elif time.monotonic() - since > SAME_SECONDS:
      for what in _at_once:
        what()
      _flush()
      os._exit(128 + first)


def _flush():
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()


def _quiet(hook):
  def quiet(unraisable):
    # A stop that came where nothing can be raised is obeyed at the next check.
    if not isinstance(unraisable.exc_value, stopping.Stopped):
      hook(unraisable)

  return quiet
