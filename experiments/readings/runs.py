"""The finished runs that a reading is of, and where its results go."""

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from experiments import command
from rlhf_jax.evaluation import statistics, win_rate
from rlhf_jax.experiment import PolicyVariant, answers, overrides, prepare
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.storage import files


def arguments(
  doc: str, out: str | None = None, **numbers: tuple[int, str]
) -> argparse.Namespace:
  """Reads seeds, settings, where stages are, and where the results go.

  Args:
    doc: of the reading.
    out: folder of the results by default; None if it writes none.
    numbers: options of its own, by name: their defaults and their sentences.
  """
  parser = argparse.ArgumentParser(
    prog=command.name(),
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    'seeds', type=int, nargs='+', help='of the finished runs that are read'
  )
  parser.add_argument(
    '--stages',
    type=pathlib.Path,
    default='runs/stages',
    help='folder where they kept their stages (default: %(default)s)',
  )
  if out is not None:
    parser.add_argument(
      '--out',
      type=pathlib.Path,
      default=out,
      help='folder of the results (default: %(default)s)',
    )
  for name, (default, sentence) in numbers.items():
    parser.add_argument(
      f'--{name}',
      type=int,
      default=default,
      help=f'{sentence} (default: %(default)s)',
    )
  parser.add_argument(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='a setting or any value of the experiment, as it was set there',
  )
  return parser.parse_args()


def chains(
  module: ModuleType,
  options: argparse.Namespace,
  *,
  needed: Sequence[str] | None = None,
  variants: Mapping[str, PolicyVariant] | None = None,
) -> list[Run]:
  """Each seed's run of an experiment.

  Args:
    module: the experiment's file.
    options: of `arguments`.
    needed: stages that must be done; all where None.
    variants: in place of the experiment's own, where it is asked otherwise.

  Raises:
    SystemExit: a stage is not done, or --set is wrong; a sentence.
  """
  return [
    _chain(module, seed, options, needed, variants) for seed in options.seeds
  ]


def _chain(module, seed, options, needed, variants):
  try:
    experiment = overrides.build(module, [f'seed={seed}', *options.set])
  except ValueError as e:
    raise SystemExit(f'error: {e}') from None
  if variants is not None:
    experiment = dataclasses.replace(
      experiment, variants=variants, contrasts={}
    )
  chain = prepare(experiment, options.stages)
  for name in experiment.stages if needed is None else needed:
    if not chain.folders[name].done:
      file = module.__name__.replace('.', '/') + '.py'
      raise SystemExit(
        f'error: {name!r} of seed {seed} is not in {options.stages} yet; run '
        f'python -m launch.seeds {file} --seeds {seed} first, with the same '
        'settings'
      )
  return chain


def win_rate_of(
  chains: Sequence[Run],
  better: str,
  worse: str,
  *,
  kind: str | None = None,
) -> statistics.Estimate:
  """How often one policy's answers beat another's by gold, over all seeds.

  Args:
    chains: of each seed.
    better: the policy, or variant of one, whose win rate it is.
    worse: the other.
    kind: of the prompts that count; all where None.
  """
  credits, prompts = [], []
  for chain in chains:
    mine, theirs = (answers.answer(chain, name) for name in (better, worse))
    own = win_rate.credits(mine, theirs, 'gold')
    rows = [i for i, p in enumerate(mine.prompts) if kind in (None, p.kind)]
    credits.append(own[rows])
    prompts.append([mine.prompts[i] for i in rows])
  if len(chains) == 1:
    return win_rate.estimate(credits[0], prompts[0])
  return win_rate.pool(credits, prompts)


def write(
  folder: pathlib.Path,
  name: str,
  content: Any,
  draw: Callable[[pathlib.Path], None] | None = None,
) -> None:
  """Writes <name>.json and, where it is drawn, <name>.png; says where."""
  files.make_folder(folder)
  path, picture = folder / f'{name}.json', folder / f'{name}.png'
  files.write_json(path, content)
  print(f'written: {path}')
  if draw is not None:
    draw(picture)
    print(f'written: {picture}')
