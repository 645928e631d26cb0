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

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure

from experiments import reading
from experiments.offline_rl import against_ppo
from rlhf_jax.evaluation import plots
from rlhf_jax.experiment import measuring
from rlhf_jax.methods import offline_rl

TARGETS = (-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)


def measure(seed: int, options) -> dict[str, Any]:
  """What one seed's policy gives: lists by target, and the pool's range."""
  asked = {f'dt_at_{z:g}': against_ppo.asking('dt', z) for z in TARGETS}
  chain = reading.chain_of(
    against_ppo, seed, options, needed=('dt',), answering=asked
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


def show(rows: Sequence[dict[str, Any]]) -> None:
  """Prints a line a target, then the slopes."""
  names = ('obtained', 'gold', 'kl')
  print('asked  ' + ''.join(f'{name:24}' for name in names))
  for place, z in enumerate(TARGETS):
    cells = [
      reading.over_seeds([row[name][place] for row in rows]) for name in names
    ]
    print(f'{z:5.1f}  ' + ''.join(f'{cell:24}' for cell in cells))
  for row in rows:
    low, high = row['trained on']
    print(f'seed {row["seed"]} was trained on {low:.2f} to {high:.2f}')
  for name in ('slope within', 'slope'):
    print(f'{name:13}', reading.over_seeds([row[name] for row in rows]))


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
  options = reading.arguments(__doc__, 'runs/offline_rl/obedience')
  rows = [measure(seed, options) for seed in options.seeds]
  show(rows)
  content = {'asked': TARGETS, 'seeds': rows}
  draws = functools.partial(draw, rows=rows)
  reading.write(options.out, 'obedience', content, draws)


if __name__ == '__main__':
  main()
