"""Says whether an experiment fits on chips that are not here, and what bounds
a step of it: `python -m launch.plan FILE --chips v5e:16x16`.

Programs are those that launch.train would run, compiled ahead of time for the
chips; nothing of data or weights is read, and of a model its config.json. Where
no compiler for them is installed, what needs none is said: bytes of state and
of frozen roles, FLOPs, and whether rows divide.
"""

import json
import pathlib
import sys

from launch import console, errors, loading, reporting, signals, train
from rlhf_jax.storage.sizes import in_bytes

QUICK = 'O1'  # A level of optimisation.


def parse(arguments):
  """Reads the command line."""
  parser = train.Parser(
    prog='python -m launch.plan',
    description='Whether an experiment fits on chips, and what bounds a step.',
    epilog=(
      'Chips are v4:2x2x1, v5e:16x16, v5p:4x4x4, v6e:8x8, h100:1x8 (hosts x '
      'GPUs) and other slices that there are. Where a stage does not fit, what '
      'may help is tried.'
    ),
  )
  parser.add_argument('file', help='the experiment, a Python file')
  parser.add_argument('--chips', required=True, metavar='KIND:SHAPE')
  parser.add_argument(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='set a value, as of launch.train; may be given many times',
  )
  parser.add_argument(
    '--only',
    action='append',
    default=[],
    metavar='STAGE',
    help='plan this stage; may be given many times (default: all that train)',
  )
  parser.add_argument(
    '--quick',
    action='store_true',
    help='compile with little optimisation: in a third of the time, '
    'temporaries are what is needed, and what is sent nearly as it will be',
  )
  parser.add_argument(
    '--longest',
    action='store_true',
    help='find the longest response that fits: limits.max_response_tokens is '
    'doubled until it does not, and lengths between are tried, some ten '
    'plans in all; best with --quick',
  )
  parser.add_argument(
    '--json', type=pathlib.Path, metavar='FILE', help='write the plan there too'
  )
  parser.add_argument(
    '--traceback',
    action='store_true',
    help='show where in the code an error came from',
  )
  return parser.parse_args(arguments)


@signals.keeps_nothing
def plan(options) -> int:
  """Plans as the command line says. Returns 1 if something does not fit."""
  from rlhf_jax.experiment import device_rows
  from rlhf_jax.planning import chips, topologies

  topologies.prepare()
  asked = chips.parse(options.chips)
  module = loading.load(pathlib.Path(options.file))
  experiment = loading.build(module, options.set)
  missing = topologies.missing(asked)
  if missing is not None:
    if options.longest:
      raise errors.OptionError(f'--longest: {missing}')
    print(f'{missing}\n')
  say = _longest if options.longest else _planned
  found = []
  for name in _stages(experiment, options.only):
    try:
      found.append(say(module, experiment, name, asked, options))
    except device_rows.RowsError as error:
      print(f'{name}: cannot run on {asked.name}: {error}', flush=True)
      found.append({'stage': name, 'fits': False, 'why': str(error)})
    print()
  if missing is not None:
    print(missing)
  if options.json:
    said = {'chips': asked.name, 'set': options.set, 'stages': found}
    options.json.write_text(json.dumps(said, indent=2) + '\n')
  return int(any(stage['fits'] is False for stage in found))


def _planned(module, experiment, name, asked, options):
  """Plans a stage, and says it. Returns it as JSON has it."""
  from rlhf_jax.planning import topologies, words

  found = _plan(experiment, name, asked, options)
  print('\n'.join(words.of_stage(found, asked)), flush=True)
  trials = []
  if found.fits is False and topologies.missing(asked) is None:
    trials = _tried(module, experiment, found, asked, options)
  return words.as_json(found, trials)


def _plan(experiment, name, asked, options):
  """A stage's plan; what is compiled is told meanwhile."""
  from rlhf_jax.planning import stage_plan

  return stage_plan.plan(
    experiment,
    name,
    asked,
    level=QUICK if options.quick else None,
    tell=lambda said: print(f'{said} …', file=sys.stderr, flush=True),
  )


def _longest(module, experiment, name, asked, options):
  """Finds the longest response of a stage that fits, and says each try.

  Returns it as JSON has it.
  """
  from rlhf_jax.planning import longest, stage_plan, words

  alone = stage_plan.plan(experiment, name, asked, only=lambda program: False)
  if alone.fits is False:  # However short responses are.
    print('\n'.join(words.of_stage(alone, asked)), flush=True)
    return words.as_json(alone, [])
  limits, room = experiment.limits, experiment.model.longest
  most = room - limits.max_prompt_tokens if room else longest.MOST
  print(
    f'{name}, on {asked.name}, with prompts of {limits.max_prompt_tokens} '
    'tokens:',
    flush=True,
  )
  tried = []

  def fits(tokens):
    setting = f'limits.max_response_tokens={tokens}'
    changed = loading.build(module, [*options.set, setting])
    found = _plan(changed, name, asked, options)
    print(words.of_length(tokens, found), flush=True)
    size = found.busiest.bytes
    tried.append({'tokens': tokens, 'bytes': size, 'fits': found.fits})
    return found.fits

  found, refused = longest.search(fits, limits.max_response_tokens, most)
  print(words.of_longest(name, found, refused))
  return {
    'stage': name,
    'fits': found > 0,
    'longest_response_tokens': found,
    'tried': tried,
  }


def _tried(module, experiment, planned, asked, options):
  """Tries what may help a stage that does not fit, and says it."""
  from rlhf_jax.planning import advice, stage_plan, words

  large = {p.name for p in planned.programs if _is_large(p, planned.room)}

  def attempt(assignments):
    return stage_plan.plan(
      loading.build(module, [*options.set, *assignments]),
      planned.stage,
      asked,
      level=QUICK,
      only=lambda program: program.name in large,
    )

  before = attempt([]).busiest.bytes
  print(
    f'tried, at little optimisation, where it needs {in_bytes(before)}:',
    flush=True,
  )
  trials = []
  for trial in advice.tried(
    experiment, planned.stage, asked.count, before, attempt
  ):
    print(words.of_trial(trial, planned.room), flush=True)
    trials.append(trial)
  return trials


def _is_large(program, room):
  return program.compiled and (program.compiled.refused or program.bytes > room)


def _stages(experiment, only):
  """The names of the stages that are planned."""
  from rlhf_jax.data import names
  from rlhf_jax.stages import Stage

  trains = [n for n, s in experiment.stages.items() if isinstance(s, Stage)]
  for name in only:
    if name not in trains:
      raise errors.OptionError(
        f'--only: no stage {name!r} trains{names.nearest(name, trains)} There '
        f'are {", ".join(trains)}'
      )
  return only or trains


def main(arguments=None) -> int:
  """Runs the command line. Returns its exit status."""
  options = parse(arguments)
  return signals.obeyed(lambda: reporting.report_errors(plan, options))


if __name__ == '__main__':
  signals.leave(console.run(main))
