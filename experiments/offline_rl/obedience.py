"""Claim: a Decision Transformer gives the reward that it is asked for, as far
as its training data went (Hu et al. 2023, arXiv 2308.12050).

Rewards from −2 to 5 standard deviations are asked of the policy `dt` of
`against_ppo.py`; what comes is the learnt reward, in the same units, and gold.
Holds if the slope of what comes on what is asked, within the rewards trained
on, is near 1; a slope of 0 ignores the request. Answers are kept, so what the
experiment has sampled is read.
Run: python -m experiments.offline_rl.obedience 0 1 2
after python -m launch.seeds experiments/offline_rl/against_ppo.py --seeds 0 1 2
"""

import argparse
import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure

from experiments.offline_rl import against_ppo
from rlhf_jax.evaluation import plots, statistics
from rlhf_jax.experiment import measuring, overrides, prepare
from rlhf_jax.methods import offline_rl

TARGETS = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def measure(seed: int, assignments: Sequence[str], stages) -> dict[str, Any]:
  """What one seed's policy gives: lists by target, and the pool's range."""
  settings = functools.reduce(
    lambda made, text: overrides.apply(made, *text.split('=', 1)),
    assignments,
    against_ppo.Settings(seed=seed),
  )
  experiment = against_ppo.config(settings)
  asked = {f'dt_at_{z:g}': against_ppo.asking('dt', z) for z in TARGETS}
  chain = prepare(dataclasses.replace(experiment, answering=asked), stages)
  if not chain.folder('dt').done:
    raise SystemExit(
      f"error: 'dt' of seed {seed} is not trained yet; run python -m "
      'launch.train experiments/offline_rl/against_ppo.py first, with the same '
      'settings'
    )
  pool = offline_rl.statistics(chain.records(against_ppo.FIXED))
  found = [measuring.answer(chain, name) for name in asked]
  obtained = [float(np.mean(pool.standardised(s.proxy))) for s in found]
  within = [pool.lowest_z <= z <= pool.highest_z for z in TARGETS]
  return {
    'seed': seed,
    'trained on': [pool.lowest_z, pool.highest_z],
    'obtained': obtained,
    'gold': [float(np.mean(s.gold)) for s in found],
    'kl': [float(np.mean(s.kl)) for s in found],
    'slope within': slope(
      np.array(TARGETS)[within], np.array(obtained)[within]
    ),
    'slope': slope(TARGETS, obtained),
  }


def slope(asked, obtained) -> float:
  """Of the line of least squares."""
  return float(np.polyfit(asked, obtained, 1)[0])


def over_seeds(values: Sequence[float]) -> str:
  """The mean, with its interval where there are seeds to tell it from."""
  found = statistics.mean(np.array(values), np.arange(len(values)))
  if len(values) < 2:
    return f'{found.value:6.2f}'
  return f'{found.value:6.2f} [{found.low:.2f}, {found.high:.2f}]'


def show(rows: Sequence[dict[str, Any]]) -> None:
  """Prints a line a target, then the slopes."""
  names = ('obtained', 'gold', 'kl')
  print('asked  ' + ''.join(f'{name:24}' for name in names))
  for place, z in enumerate(TARGETS):
    cells = [over_seeds([row[name][place] for row in rows]) for name in names]
    print(f'{z:5.1f}  ' + ''.join(f'{cell:24}' for cell in cells))
  for row in rows:
    low, high = row['trained on']
    print(f'seed {row["seed"]} was trained on {low:.2f} to {high:.2f}')
  for name in ('slope within', 'slope'):
    print(f'{name:13}', over_seeds([row[name] for row in rows]))


def draw(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  """What was asked against what came, a thin line a seed, their mean bold."""
  with matplotlib.rc_context(plots.STYLE):
    page = figure.Figure(figsize=(9.0, 4.0), layout='constrained')
    learnt, gold = page.subplots(1, 2)
    learnt.plot(TARGETS, TARGETS, '--', color='#666666', label='as asked')
    ends = np.mean([row['trained on'] for row in rows], axis=0)
    for panel, name, colour, label in (
      (learnt, 'obtained', plots.COLOURS[0], 'learnt reward, deviations'),
      (gold, 'gold', plots.COLOURS[1], 'gold reward, reward units'),
    ):
      values = np.array([row[name] for row in rows])
      panel.axvspan(*ends, color='#E8E8E8', zorder=0, label='trained on')
      panel.plot(TARGETS, values.T, color=colour, linewidth=0.8, alpha=0.5)
      panel.plot(
        TARGETS, values.mean(0), 'o-', color=colour, linewidth=2, label='given'
      )
      panel.set_xlim(TARGETS[0] - 0.2, TARGETS[-1] + 0.2)
      panel.set_xlabel('reward asked for, deviations of the pool')
      panel.set_ylabel(label)
    handles = learnt.get_legend_handles_labels()
    page.legend(*handles, loc='outside lower center', ncols=3)
    page.suptitle('What the Decision Transformer gives', x=0.01, ha='left')
    page.savefig(path)


def main():
  """Prints the table; writes obedience.json and obedience.png."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  parser.add_argument(
    '--out', type=pathlib.Path, default='runs/offline_rl/obedience'
  )
  parser.add_argument(
    '--set', action='append', default=[], metavar='NAME=VALUE',
    help='a setting of against_ppo.py, as it was set there',
  )  # fmt: skip
  options = parser.parse_args()
  rows = [measure(s, options.set, options.stages) for s in options.seeds]
  show(rows)
  options.out.mkdir(parents=True, exist_ok=True)
  written = {'asked': TARGETS, 'seeds': rows}
  path = options.out / 'obedience.json'
  path.write_text(json.dumps(written, indent=2) + '\n')
  draw(options.out / 'obedience.png', rows)
  print(f'written: {path}, {options.out / "obedience.png"}')


if __name__ == '__main__':
  main()
