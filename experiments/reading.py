"""What scripts share that read the runs of an experiment which are done."""

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from rlhf_jax.evaluation import statistics, win_rate
from rlhf_jax.experiment import (
  Answering,
  Experiment,
  measuring,
  overrides,
  prepare,
)
from rlhf_jax.experiment.chain import Chain
from rlhf_jax.storage import files


def arguments(doc: str, out: str) -> argparse.Namespace:
  """Reads seeds, settings, where stages are, and where the results go.

  Args:
    doc: of the script.
    out: folder of the results by default.
  """
  parser = argparse.ArgumentParser(
    description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  parser.add_argument('--out', type=pathlib.Path, default=out)
  parser.add_argument(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='a setting or any value of the experiment, as it was set there',
  )
  return parser.parse_args()


def chain_of(
  module: ModuleType,
  seed: int,
  options: argparse.Namespace,
  *,
  needed: Sequence[str],
  answering: Mapping[str, Answering],
) -> Chain:
  """One seed's run of an experiment, asked in other ways.

  Args:
    module: the experiment's file.
    seed: of the run.
    options: of `arguments`.
    needed: stages that must be done.
    answering: in place of the experiment's own.

  Raises:
    SystemExit: a stage is not done, or --set is wrong; a sentence.
  """
  try:
    experiment = overrides.build(module, [f'seed={seed}', *options.set])
  except ValueError as e:
    raise SystemExit(f'error: {e}') from None
  experiment = dataclasses.replace(
    experiment, answering=answering, contrasts={}
  )
  return done(module, experiment, options.stages, needed=needed)


def done(
  module: ModuleType,
  experiment: Experiment,
  stages_dir: pathlib.Path,
  *,
  needed: Sequence[str] | None = None,
) -> Chain:
  """The chain of an experiment that has been run.

  Args:
    module: the experiment's file.
    experiment: what it made.
    stages_dir: where stages are.
    needed: stages that must be done; all where None.

  Raises:
    SystemExit: a stage is not done; a sentence.
  """
  chain = prepare(experiment, stages_dir)
  for name in experiment.stages if needed is None else needed:
    if not chain.folder(name).done:
      file = module.__name__.replace('.', '/') + '.py'
      seed = experiment.seed
      raise SystemExit(
        f'error: {name!r} of seed {seed} is not in {stages_dir} yet; run '
        f'python -m launch.seeds {file} --seeds {seed} first, with the same '
        'settings'
      )
  return chain


def win_rate_of(
  chains: Sequence[Chain],
  better: str,
  worse: str,
  *,
  kind: str | None = None,
) -> statistics.Estimate:
  """How often one policy's answers beat another's by gold, over all seeds.

  Args:
    chains: of each seed.
    better: the policy, or way of answering, whose win rate it is.
    worse: the other.
    kind: of the prompts that count; all where None.
  """
  credits, prompts = [], []
  for chain in chains:
    mine, theirs = (measuring.answer(chain, name) for name in (better, worse))
    own = win_rate.credits_by('gold', mine, theirs)
    rows = [i for i, p in enumerate(mine.prompts) if kind in (None, p.kind)]
    credits.append(own[rows])
    prompts.append([mine.prompts[i] for i in rows])
  if len(chains) == 1:
    return win_rate.estimate(credits[0], prompts[0])
  return win_rate.pool(credits, prompts)


def over_seeds(values: Sequence[float]) -> str:
  """The mean, with its interval where there are seeds to tell it from."""
  found = statistics.mean(np.array(values, float), np.arange(len(values)))
  if len(values) < 2:
    return f'{found.value:.2f}'
  return f'{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]'


def write(
  folder: pathlib.Path,
  name: str,
  content: Any,
  draw: Callable[[pathlib.Path], None],
) -> None:
  """Writes <name>.json and <name>.png, and says where."""
  files.make_folder(folder)
  path, picture = folder / f'{name}.json', folder / f'{name}.png'
  files.write_json(path, content)
  draw(picture)
  print(f'written: {path}, {picture}')
