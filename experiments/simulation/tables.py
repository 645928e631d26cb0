"""Runs a simulation under several settings and seeds, and prints tables."""

import argparse
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from experiments import command
from experiments.simulation.candidates import (
  Candidates,
  compose,
  without_answers,
)
from experiments.simulation.rewards import Arm, Setting
from rlhf_jax import sandbox
from rlhf_jax.evaluation import report, statistics
from rlhf_jax.storage import files

TEXTS = 32  # To each prompt.
# (train, test, setting, seed) -> {arm: what was measured}.
Simulate = Callable[
  [Candidates, Candidates, Setting, int],
  Mapping[str, Arm],
]


def pooled(seeds: Sequence[Mapping[str, Arm]]) -> dict[str, dict]:
  """{arm: {measure: its Estimate over seeds}}."""
  groups = np.arange(len(seeds))
  return {
    name: {
      field: statistics.mean([getattr(s[name], field) for s in seeds], groups)
      for field in Arm._fields
      if np.isfinite(getattr(seeds[0][name], field))
    }
    for name in seeds[0]
  }


def show(setting: Setting, arms: Mapping[str, Mapping]) -> None:
  """Prints a setting's arms, ± two standard errors over seeds."""
  table = '' if setting.table else ', no table of answers'
  columns = [f for f in Arm._fields if any(f in arm for arm in arms.values())]
  print(
    f'\n{setting.pairs} pairs, {setting.visits} visits, {setting.kl:g} nats'
    f'{table}\n{"":17}' + ''.join(f'{name:>17}' for name in columns)
  )
  for name, measures in arms.items():
    cells = [_cell(measures.get(field)) for field in columns]
    print(f'{name:17}' + ''.join(f'{cell:>17}' for cell in cells))


def _cell(found):
  if found is None:
    return '–'
  form = '.0f' if found.value > 10 else '.3f'
  if not np.isfinite(found.standard_error):
    return f'{found.value:{form}}'
  return f'{found.value:{form}} ± {2 * found.standard_error:{form}}'


def run(
  doc: str, settings: Sequence[Setting], simulate: Simulate, out: str
) -> None:
  """Prints a table a setting, and writes every number of it.

  Args:
    doc: of the experiment.
    settings: its tables.
    simulate: measures one of them with one seed.
    out: file of all numbers by default.
  """
  parser = argparse.ArgumentParser(
    prog=command.name(),
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--seeds',
    type=int,
    nargs='+',
    required=True,
    help='of annotators, samples and pairs; what is shown is over all of them',
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=out,
    help='file of all numbers (default: %(default)s)',
  )
  options = parser.parse_args()
  datasets, rows = sandbox.World().load('').datasets, []
  written = [
    compose(datasets[name], TEXTS) for name in ('prompts', 'test_prompts')
  ]
  for setting in settings:
    seen = written
    if not setting.table:
      seen = [without_answers(each) for each in written]
    found = [simulate(*seen, setting, seed) for seed in options.seeds]
    arms = pooled(found)
    show(setting, arms)
    rows.append(setting._asdict() | {'seeds': found, 'arms': arms})
  files.make_folder(options.out.parent)
  content = {'seeds': options.seeds, 'settings': rows}
  files.write_json(options.out, report.plain(content))
  print(f'\nwritten: {options.out}')
