"""Times rlhf_jax, TRL and Tunix on the same work, on one core, by turns.

Run: python -m tests.benchmarks.side_by_side                (hours, all of it)
     python -m tests.benchmarks.side_by_side sft_s dpo_s --rounds 3
     python -m tests.benchmarks.side_by_side sft_s --sides ours trl trl!
     python -m tests.benchmarks.side_by_side sft_s \\
         --sides ours ours,MALLOC_PERTURB_=0

Each side is a process in a Python of its own, started, warmed up, and then let
go for some steps at a time while the others wait (A B C A B C …), so that other
work on the machine meets all alike. Same shapes, same token ids, random
weights, one thread, float32; see `sides/work.py`. Peers need their Pythons
named, and are left out otherwise:

  BENCH_TRL_PYTHON     pip install trl torch
  BENCH_TRL_PPO        pip install --no-deps --target FOLDER trl==1.9.0
  BENCH_TUNIX_PYTHON   pip install google-tunix==0.1.7 qwix==0.1.8 \\
                         jax==0.10.2 flax==0.12.8

A side may be followed by `!`, for memory kept by a setting of glibc, as the
launch commands have it and `ours` therefore, or by `,NAME=VALUE`, set in its
environment. All sides of a job are resident at once: the jobs of shape M and
those of 1024 tokens take 6 to 10 GB a side, so name one peer at a time there.

Printed are seconds a step by the clock (median, least, most), processor
seconds, the share of the core's peak in matrix products (by processor seconds;
measured by a side of its own, in the same turns), the ratio to the first side,
and the most memory. Where clock and processor differ by more than a twentieth,
something else ran: trust the processor's. A cold job is one step of a new
process, timed from its start.

`--out` keeps the seconds of each round: {job: {side: [seconds],
"share_of_peak": of ours, "processor_seconds": {side: [seconds]}}}. Jobs that it
holds already are replaced, the others stay.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence

from tests.benchmarks.sides import work
from tests.benchmarks.turns import (
  PEAK,
  PEAK_FLOPS,
  SCRIPTS,
  Times,
  by_turns,
  from_cold,
)

# The driver's core is not the sides'; others give way to them, where they may.
PREFIX = 'nice -n -15 taskset -c 0'
RESULTS = pathlib.Path(__file__).parent / 'results' / 'side_by_side.json'


def kept(job: work.Job, times: Mapping[str, Times]) -> dict[str, object]:
  """What the file of results has of a job."""
  sides = {name: own for name, own in times.items() if name != PEAK}
  found: dict[str, object] = {name: own.clock for name, own in sides.items()}
  if not job.cold:
    found['share_of_peak'] = share_of_peak(job, times, 'ours')
    found['processor_seconds'] = {n: own.processor for n, own in sides.items()}
  return found


def share_of_peak(
  job: work.Job, times: Mapping[str, Times], name: str
) -> float | None:
  """FLOPs of a side a processor second, over those of products alone."""
  if name not in times or PEAK not in times:
    return None
  own, peak = (statistics.median(times[n].processor) for n in (name, PEAK))
  return (job.flops / own) / (PEAK_FLOPS / peak)


def table(name: str, job: work.Job, times: Mapping[str, Times]) -> str:
  """A line a side."""
  lines = [f'{name}: {job.flops / 1e9:.2f} GFLOP a step']
  sides = {n: own for n, own in times.items() if n != PEAK}
  for side, own in sides.items():
    median = statistics.median(own.clock)
    first = statistics.median(next(iter(sides.values())).clock)
    share = None if job.cold else share_of_peak(job, times, side)
    lines.append(
      f'  {side:26} {median:9.4f} s [{min(own.clock):.4f} {max(own.clock):.4f}]'
      f'  processor {statistics.median(own.processor):9.4f} s'
      f'  {"" if share is None else f"{share:6.1%} of the peak"}'
      f'  x {median / first:5.2f}  {own.mib:6.0f} MiB'
    )
  return '\n'.join(lines)


def keep(path: pathlib.Path, name: str, found: Mapping[str, object]) -> None:
  """Writes what was found of a job beside what the file has of others."""
  results = json.loads(path.read_text()) if path.exists() else {}
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(results | {name: found}, indent=1) + '\n')


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  """The command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('jobs', nargs='*', help=', '.join(work.JOBS))
  parser.add_argument('--sides', nargs='+', default=['ours', 'trl', 'tunix'])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--steps', type=int, default=3, help='in a round')
  parser.add_argument('--warm', type=int, default=2, help='steps before')
  parser.add_argument('--prefix', default=PREFIX, help='of every command')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.add_argument(
    '--tiny', action='store_true', help='small shapes: whether it runs at all'
  )
  options = parser.parse_args(arguments)
  options.jobs = options.jobs or list(work.JOBS)
  unknown = [name for name in options.jobs if name not in work.JOBS]
  unknown += [
    name
    for name in options.sides
    if name.split(',')[0].rstrip('!') not in SCRIPTS
  ]
  if unknown:
    parser.error(f'{unknown[0]} is none of {", ".join([*work.JOBS, *SCRIPTS])}')
  return options


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the jobs of the command line."""
  options = parse(arguments)
  with tempfile.TemporaryDirectory() as folder:
    for name in options.jobs:
      job = work.JOBS[name]
      job = job.tiny() if options.tiny else job
      logs = pathlib.Path(folder, name)
      logs.mkdir()
      times = (from_cold if job.cold else by_turns)(job, options, logs)
      print(table(name, job, times), flush=True)
      keep(options.out, name, kept(job, times))


if __name__ == '__main__':
  main()
