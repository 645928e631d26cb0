"""People choose between responses: `python -m launch.annotate pairs.jsonl`.

A page in the browser shows a prompt and two responses; what is chosen is added
to a file that reward models learn from as it is. `--compare A B` asks about the
answers of two policies, and ends with the win rate by people.
"""

import argparse
import asyncio
import os
import pathlib
import re
import secrets
import socket
import textwrap

from launch import console, errors, reporting, signals

TOKEN = 'ANNOTATE_TOKEN'  # The variable that may hold one.
NEEDS = 'the package tornado serves the page: pip install tornado'


def parse(arguments):
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.annotate',
    description='Serve a page on which people read a prompt and two responses, '
    'and choose the better one. Each choice is a line of a file that a reward '
    'model learns from as it is: python -m launch.train '
    'experiments/finetune/reward_model.py --set data=FILE.',
    epilog='Whoever opens the page gives a name, which tells several people '
    'apart; each goes on where they were. Ctrl-C ends it, and prints what came '
    'out; the same command goes on from there.',
  )
  parser.add_argument(
    'data',
    nargs='?',
    metavar='DATA',
    help='lines of {"prompt": …, "response_1": …, "response_2": …}, or any '
    'format that compares responses; what they prefer is not shown',
  )
  parser.add_argument(
    '--compare',
    nargs=2,
    metavar=('A', 'B'),
    help='answers of two policies, in place of DATA: each a file of prompts '
    'and answers, such as the model_outputs.json and reference_outputs.json '
    'that launch.evaluate writes, or a stage of a run, as in RUN/stages/ppo',
  )
  parser.add_argument(
    '--summary',
    type=pathlib.Path,
    metavar='FILE',
    help='print what a file of choices says, and stop',
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=pathlib.Path('choices.jsonl'),
    metavar='FILE',
    help='file that choices are added to (default: %(default)s)',
  )
  parser.add_argument(
    '--each',
    type=int,
    default=1,
    metavar='N',
    help='how many people judge every pair (default: 1)',
  )
  parser.add_argument(
    '--first',
    type=int,
    metavar='N',
    help='ask about the first N pairs alone',
  )
  parser.add_argument(
    '--seed',
    type=int,
    default=0,
    help='of the order of pairs and of sides (default: 0)',
  )
  parser.add_argument(
    '--host',
    default='localhost',
    help='address to serve at (default: localhost, for this machine alone); '
    'any other asks for a token, which the printed address holds, or which '
    f'the environment variable {TOKEN} gives',
  )
  parser.add_argument(
    '--port', type=int, default=8137, help='(default: %(default)s)'
  )
  parser.add_argument(
    '--traceback',
    action='store_true',
    help='show where in the code an error came from',
  )
  return parser.parse_args(arguments)


def annotate(options) -> None:
  """Serves the page until it is stopped, or prints a summary.

  Raises:
    OptionError, DataError, StorageError: naming what cannot be.
  """
  from launch.annotating import summary
  from rlhf_jax.evaluation import annotators

  if options.summary:
    for name, given in (('DATA', options.data), ('--compare', options.compare)):
      if given:
        raise errors.OptionError(
          '--summary tells what a file of choices says, and asks nothing; '
          f'leave out {name}'
        )
    if not options.summary.exists():
      raise errors.OptionError(
        f'--summary {options.summary}: there is no such file; name one that '
        'choices were added to (the --out of launch.annotate)'
      )
    tell(summary.lines(annotators.read(options.summary)))
    return
  check(options)
  found = pairs_of(options)
  tell(found.notes)
  serve(options, found.pairs)


def check(options) -> None:
  """Refuses options that cannot be.

  Raises:
    OptionError: naming the option.
  """
  if (options.data is None) == (options.compare is None):
    raise errors.OptionError(
      'people are asked about one thing: give DATA or --compare A B'
    )
  for place in options.compare or ():
    errors.check_there('--compare', place)
  if options.data and not pathlib.Path(options.data).parent.is_dir():
    errors.check_there('DATA', options.data)
  errors.check_whole('--each', options.each, 1)
  errors.check_whole('--port', options.port, 0, 65535)
  if options.first is not None:
    errors.check_whole('--first', options.first, 1)
  try:
    import tornado  # noqa: F401
  except ModuleNotFoundError:
    raise errors.OptionError(NEEDS) from None


def pairs_of(options):
  """The pairs that are asked about, with notes on them."""
  from launch.annotating import pairs

  if options.compare:
    found = pairs.of_answers(options.compare)
  else:
    found = pairs.of_file(options.data)
  return found._replace(pairs=found.pairs[: options.first])


def serve(options, pairs) -> None:
  """Serves the page until it is stopped, and says what came out."""
  from launch.annotating import server, summary
  from launch.annotating.desk import Desk
  from rlhf_jax.evaluation import annotators
  from rlhf_jax.storage.journal import Journal
  from rlhf_jax.training import stopping

  token = None if options.host in server.LOCAL else token_of()
  with Journal(options.out) as journal:

    def said() -> list[str]:
      return summary.lines(annotators.of_rows(journal.rows, options.out.name))

    said()  # Or it is no file of choices.
    if journal.torn:
      tell([f'{options.out}: half a line at its end is written over.'])
    desk = Desk(pairs, journal, each=options.each, seed=options.seed)
    app = server.application(desk, token, said)
    sockets = server.bound(options.host, options.port)
    port = sockets[0].getsockname()[1]
    tell(
      [
        f'{len(desk.pairs)} pairs, each for {options.each} to judge; choices '
        f'go to {options.out}.',
        f'open {address(options.host, port, token)}',
      ]
    )
    if token:
      tell(
        [
          'Whoever has the address may read and choose, and nothing is '
          'encrypted: on a network that you do not trust, serve at localhost '
          'and forward the port by ssh.'
        ]
      )
    try:
      with stopping.held():
        asyncio.run(server.serve(app, sockets))
    except stopping.Stopped as e:
      tell(said())
      e.kept = f'every choice is in {options.out}'
      raise


def token_of() -> str:
  """What the environment gives as a token, or one drawn anew.

  Raises:
    OptionError: what it gives is short, or has other letters than these.
  """
  given = os.environ.get(TOKEN)
  if given is None:
    return secrets.token_urlsafe(16)
  if not re.fullmatch(r'[\w.~-]{12,}', given, re.ASCII):
    raise errors.OptionError(
      f'{TOKEN} has to be 12 or more letters, digits or .~_-; give another'
    )
  return given


def address(host: str, port: int, token: str | None) -> str:
  """Where to open the page; the token stays in the browser, behind the #."""
  if host in ('', '0.0.0.0', '::'):  # At all addresses of this machine.
    host = socket.gethostname()
  name = f'[{host}]' if ':' in host else host
  return f'http://{name}:{port}/' + (f'#{token}' if token else '')


def tell(lines) -> None:
  """Prints sentences, each in as many lines as it takes."""
  for line in lines:
    print(
      textwrap.fill(line, 80, break_long_words=False, break_on_hyphens=False),
      flush=True,
    )


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  options = parse(arguments)
  return signals.obeyed(lambda: reporting.report_errors(annotate, options))


if __name__ == '__main__':
  signals.leave(console.run(main))
