"""Printing where not all can be shown, and to readers that go away."""

import os
import select
import sys
from collections.abc import Callable

READER_IS_GONE = 141  # What a shell says of a command ended by SIGPIPE.


def run(main: Callable[[], int]) -> int:
  """Runs a command as a whole program. Returns its exit status.

  What the console cannot show (an arrow, in ASCII) becomes a question mark. A
  reader that goes away, as `| head` does, ends the command without a word.
  """
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, 'reconfigure'):
      stream.reconfigure(errors='replace')
  try:
    status = main()
  except SystemExit as e:  # argparse has printed its help, or what is wrong.
    status = e.code
  except BrokenPipeError:
    if not reader_is_gone():
      raise
    status = READER_IS_GONE
  for stream in (sys.stdout, sys.stderr):
    status = _flushed(stream, status)
  return status


def reader_is_gone() -> bool:
  """Whether nobody reads what this process prints any more."""
  return any(_broken(stream) for stream in (sys.stdout, sys.stderr))


def _broken(stream) -> bool:
  try:
    number = stream.fileno()
  except (AttributeError, OSError, ValueError):  # Closed, or no real file.
    return False
  poll = select.poll()
  poll.register(number, 0)  # Errors alone: the other end is closed.
  return any(event & select.POLLERR for _, event in poll.poll(0))


def _flushed(stream, status):
  """Prints what waits to be printed. Returns the exit status."""
  try:
    if stream is not None:
      stream.flush()
  except OSError as e:
    # Python would try once more at its end, and tell of it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if isinstance(e, BrokenPipeError):
      return READER_IS_GONE
    print(f'error: the output: {e.strerror}', file=sys.stderr)
    return status or 1
  return status
