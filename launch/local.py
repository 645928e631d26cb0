"""Several processes of one run on this machine, to try what a cluster does:

python -m launch.local --processes 4 launch.train experiments/rlhf/sandbox.py

It is the runtime of a cluster (JAX's, over gloo where there are CPUs alone).
Ends as the first process that fails: with its status, or 75 where the run was
stopped and goes on from what was saved.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from launch import console, errors, joining, signals

LOOK_SECONDS = 0.1
# That the others have to see that one is gone, and to say so.
GRACE_SECONDS = 60.0
DEVICES = '--xla_force_host_platform_device_count'


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.local',
    description='Run a command in several processes on this machine.',
    epilog=signals.EPILOG,
  )
  parser.add_argument(
    '--processes', type=int, default=2, help='(default: %(default)s)'
  )
  parser.add_argument(
    '--devices',
    type=int,
    help='CPU devices of each process, where there is no accelerator '
    '(default: 1)',
  )
  parser.add_argument('command', help='as after python -m: launch.train')
  parser.add_argument('arguments', nargs=argparse.REMAINDER)
  return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
  """Starts the processes and waits for all. Returns the exit status."""
  errors.check_whole('--processes', options.processes, 1)
  port = free_port()
  started = [start(options, port, n) for n in range(options.processes)]
  readers = [
    threading.Thread(target=copy, args=(process.stdout, number))
    for number, process in enumerate(started)
  ]
  for thread in readers:
    thread.start()
  passed_on = []

  def pass_on(received, frame):
    del frame
    passed_on.append(received)
    for process in started:  # The first is agreed on; the second kills.
      sent = signal.SIGTERM if len(passed_on) == 1 else signal.SIGKILL
      process.send_signal(sent)

  before = {n: signal.signal(n, pass_on) for n in signals.SIGNALS}
  try:
    status = ended(started)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    for process in started:
      process.kill()
    for thread in readers:
      thread.join()
  return status


def start(
  options: argparse.Namespace, port: int, number: int
) -> subprocess.Popen:
  """Starts one of the processes, whose output is read by us."""
  environment = dict(os.environ) | {
    joining.ADDRESS: f'localhost:{port}',
    joining.COUNT: str(options.processes),
    joining.NUMBER: str(number),
  }
  if options.devices is not None:
    flags = f'{os.environ.get("XLA_FLAGS", "")} {DEVICES}={options.devices}'
    environment['XLA_FLAGS'] = flags.strip()
  return subprocess.Popen(
    [sys.executable, '-m', options.command, *options.arguments],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,  # Ctrl-C reaches them once, by `pass_on`.
  )


def copy(output, number: int) -> None:
  """Prints the lines of a process; those of the others with its number."""
  mark = b'' if number == 0 else f'[{number}] '.encode()
  for line in output:
    sys.stdout.buffer.write(mark + line)
    sys.stdout.flush()


def ended(processes: Sequence[subprocess.Popen]) -> int:
  """Waits until all have ended; the status of the first that failed.

  Those that do not see by themselves that one is gone are killed.
  """
  failed, deadline = None, None
  while any(process.poll() is None for process in processes):
    time.sleep(LOOK_SECONDS)
    if failed is None:
      failed = next(
        (n for n, p in enumerate(processes) if p.poll() not in (None, 0)), None
      )
    elif deadline is None:
      deadline = time.monotonic() + GRACE_SECONDS
    elif time.monotonic() > deadline:
      for process in processes:
        process.kill()
  statuses = [process.wait() for process in processes]
  if failed is None:
    failed = next((n for n, status in enumerate(statuses) if status), None)
  if failed is None:
    return 0
  if statuses[failed] < 0:  # Nobody could say a word.
    name = signal.Signals(-statuses[failed]).name
    print(
      f'error: process {failed} of {len(processes)} was ended by {name}; the '
      'same command goes on from the last checkpoint',
      file=sys.stderr,
    )
    return 128 - statuses[failed]
  return statuses[failed]


def free_port() -> int:
  """A port that nobody listens on."""
  with socket.socket() as some:
    some.bind(('localhost', 0))
    return some.getsockname()[1]


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line. Returns its exit status."""
  options = parse(arguments)
  try:
    return run(options)
  except errors.OptionError as e:
    print(f'error: {e}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(console.run(main))
