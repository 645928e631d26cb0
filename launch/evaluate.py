"""Measures judges, and policies by them: `python -m launch.evaluate`.

Without a policy a judge is measured on labelled pairs, `--pairs DATA`; with
one, the policy on a benchmark against another, as a judge sees it.
"""

import contextlib
import pathlib
import re
from urllib import parse as urls

from launch import console, errors, memory, signals, train
from launch.evaluate_options import OF_BENCHMARK, OF_PAIRS, parse
from rlhf_jax.storage import folder_lock


def evaluate(options) -> None:
  """Measures what the command line names."""
  from launch import agreements, comparing, costs, judges

  if options.pairs is None and options.benchmark is None:
    raise errors.OptionError(
      'give --pairs DATA to measure a judge, or --benchmark NAME to measure a '
      'policy by it'
    )
  if options.pairs is not None and options.benchmark is not None:
    raise errors.OptionError(
      '--pairs measures a judge, and --benchmark a policy by it; give one of '
      'the two, not both'
    )
  if options.count is not None:
    errors.check_whole('--count', options.count, 1)
  if options.pairs:
    errors.check_unread(options.given, OF_BENCHMARK, '--benchmark', '--pairs')
  else:
    errors.check_unread(options.given, OF_PAIRS, '--pairs', '--benchmark')
  costs.check_prices(options.prices)
  options.out = options.out or default_out(options)
  errors.check_folder('--out', options.out)
  with errors.naming(judges.OPTIONS), folder_lock.alone(options.out):
    (agreements if options.pairs else comparing).measure(options)


def default_out(options) -> pathlib.Path:
  """runs/evaluate/<what>-<judge>, of the last parts of their names.

  Of an endpoint that is asked without --model <judge> is the host and what the
  templates are called.
  """
  parts = (
    options.pairs or options.benchmark,
    *filter(None, (options.policy, options.against)),
  )
  names = [pathlib.PurePath(str(p)).name.partition('.')[0] for p in parts]
  if options.model is None and '://' in options.judge:
    names += _of_endpoint(options)
  else:
    # Of a function all of its path, not its module alone.
    names.append(pathlib.PurePath(options.model or options.judge).name)
  own = re.sub(r'[^\w-]+', '_', '-'.join(names))
  return pathlib.Path('runs', 'evaluate', own)


def _of_endpoint(options) -> list[str]:
  """The host and the templates, which name the models; nothing secret."""
  host = port = None
  with contextlib.suppress(ValueError):  # What is no URL is refused later.
    url = urls.urlsplit(options.judge)
    host, port = url.hostname, url.port
  templates = [
    pathlib.PurePath(name.strip()).stem for name in options.template.split(',')
  ]
  return [*map(str, filter(None, (host, port))), *templates]


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  return train.guarded(evaluate, parse(arguments))


if __name__ == '__main__':
  memory.keep()
  signals.leave(console.run(main))
