"""Does a Decision Transformer give the reward that it is asked for, as far as
its training data went (Hu et al. 2023, arXiv 2308.12050)?

Rewards from −2 to 5 standard deviations are asked of the policy `dt` of
`offline_rl/against_ppo.py`; what comes is the learnt reward, in the same units,
and gold. Yes, if the slope of what comes on what is asked, within the rewards
trained on, is near 1. Answers are kept: those that the experiment has
sampled are read.
Run: python -m experiments.readings.offline_rl_obedience 0 1 2
after python -m launch.seeds experiments/offline_rl/against_ppo.py --seeds 0 1 2
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure

from experiments.offline_rl import against_ppo
from experiments.readings import obedience, runs, tables
from experiments.sandbox_chain import offline
from rlhf_jax.evaluation import plots
from rlhf_jax.experiment import PolicyVariant, answers
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.methods import offline_rl

TARGETS = (-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)


def requests() -> dict[str, PolicyVariant]:
  """`dt`, asked for each reward."""
  return {f'dt_at_{z:g}': offline.asking('dt', z) for z in TARGETS}


def measure(chain: Run) -> dict[str, Any]:
  """What one seed's policy gives: lists by target, and the pool's range."""
  pool = offline_rl.statistics(chain.data.records(offline.FIXED))
  found = [answers.answer(chain, name) for name in requests()]
  obtained = [float(np.mean(pool.standardised(s.score))) for s in found]
  within = [pool.lowest_z <= z <= pool.highest_z for z in TARGETS]
  return {
    'seed': chain.experiment.seed,
    'trained on': [pool.lowest_z, pool.highest_z],
    'obtained': obtained,
    'gold': [float(np.mean(s.gold)) for s in found],
    'kl': [float(np.mean(s.kl)) for s in found],
    'slope within': obedience.slope(
      np.array(TARGETS)[within], np.array(obtained)[within]
    ),
    'slope': obedience.slope(TARGETS, obtained),
  }


def show(rows: Sequence[dict[str, Any]]) -> None:
  """Prints a line a target, then the slopes."""
  names = ('obtained', 'gold', 'kl')
  print('asked  ' + ''.join(f'{name:24}' for name in names))
  for place, z in enumerate(TARGETS):
    cells = [
      tables.over_seeds([row[name][place] for row in rows]) for name in names
    ]
    print(f'{z:5.1f}  ' + ''.join(f'{cell:24}' for cell in cells))
  for row in rows:
    low, high = row['trained on']
    print(f'seed {row["seed"]} was trained on {low:.2f} to {high:.2f}')
  for name in ('slope within', 'slope'):
    print(f'{name:13}', tables.over_seeds([row[name] for row in rows]))


def draw(path: pathlib.Path, *, rows: Sequence[dict[str, Any]]) -> None:
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
      obedience.draw(panel, TARGETS, values, colour)
      panel.set_xlim(TARGETS[0] - 0.2, TARGETS[-1] + 0.2)
      panel.set_xlabel('reward asked for, deviations of the pool')
      panel.set_ylabel(label)
    handles = learnt.get_legend_handles_labels()
    page.legend(*handles, loc='outside lower center', ncols=3)
    page.suptitle('What the Decision Transformer gives', x=0.01, ha='left')
    page.savefig(path)


def main():
  """Prints the table; writes obedience.json and obedience.png."""
  options = runs.arguments(__doc__, 'runs/offline_rl/obedience')
  chains = runs.chains(
    against_ppo, options, needed=('dt',), variants=requests()
  )
  rows = [measure(chain) for chain in chains]
  show(rows)
  content = {'asked': TARGETS, 'seeds': rows}
  draws = functools.partial(draw, rows=rows)
  runs.write(options.out, 'obedience', content, draws)


if __name__ == '__main__':
  main()
