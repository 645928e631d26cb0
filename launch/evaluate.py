"""Measures judges, and policies by them: `python -m launch.evaluate`.

Without a policy a judge is measured on labelled pairs, `--pairs DATA`; with
one, the policy on a benchmark against another, as a judge sees it.
"""

import argparse
import pathlib
import re

from launch import (
  agreements,
  comparing,
  console,
  errors,
  judges,
  memory,
  signals,
  train,
)


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.evaluate',
    description='Measure a judge on pairs that people or a strong model '
    'labelled (--pairs), or a policy on a benchmark, against another policy, '
    'by a judge (--benchmark).',
    epilog='What was answered and asked is kept in the --out folder, and is '
    'not asked again. ' + signals.EPILOG,
  )
  judges.add_arguments(parser)
  agreements.add_arguments(parser)
  comparing.add_arguments(parser)
  parser.add_argument(
    '--count', type=int, help='so many pairs or questions, the same ones'
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    help='folder of the results (default: runs/evaluate/<what>-<judge>)',
  )
  train.add_shared_arguments(parser)
  return parser.parse_args(arguments)


def evaluate(options) -> None:
  """Measures what the command line names."""
  if (options.pairs is None) == (options.benchmark is None):
    raise errors.OptionError(
      'give --pairs DATA to measure a judge, or --benchmark NAME to measure a '
      'policy by it'
    )
  if options.count is not None:
    errors.check_whole('--count', options.count, 1)
  options.out = options.out or default_out(options)
  errors.check_folder('--out', options.out)
  (agreements if options.pairs else comparing).measure(options)


def default_out(options) -> pathlib.Path:
  """runs/evaluate/<what>-<judge>, of the last parts of their names."""
  parts = (
    options.pairs or options.benchmark,
    *filter(None, (options.policy, options.against)),
    options.model or options.judge,
  )
  names = [pathlib.PurePath(str(p)).name.partition('.')[0] for p in parts]
  own = re.sub(r'[^\w-]+', '_', '-'.join(names))
  return pathlib.Path('runs', 'evaluate', own)


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return train.guarded(evaluate, parse(arguments))


if __name__ == '__main__':
  memory.keep()
  signals.leave(console.run(main))
