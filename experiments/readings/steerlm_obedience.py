"""Are attributes controls: the more is asked for, the more is obtained (Dong et
al. 2023, the section on steering)?

The policy `steerlm` of `steerlm/steering.py` is asked for each level of each
attribute, the others at their best; what comes is how its answers truly rate.
Yes, if the slope of what comes on what is asked is above 0 for every attribute;
as asked is 1. Beside it, how often labels are right on the responses
that people rated, a language model's, a regression's and people's, and by how
many levels they are off, squared. Answers are kept: those that the experiment
has sampled are read.
Run: python -m experiments.readings.steerlm_obedience 0 1 2
after python -m launch.seeds experiments/steerlm/steering.py --seeds 0 1 2
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure

from experiments.readings import obedience, runs, tables
from experiments.sandbox_chain.attributes import NAMES, SCALE, requests
from experiments.steerlm import steering
from rlhf_jax import sandbox
from rlhf_jax.evaluation import plots
from rlhf_jax.experiment import answers
from rlhf_jax.experiment.prepared import Run

LEVELS = tuple(range(SCALE.levels))
LABELS = {
  'annotated_rated': "the writer's",
  'annotated_regressed': "the regression's",
  'annotated_people': "people's",
}


def measure(chain: Run) -> dict[str, Any]:
  """What one seed's policy gives: by attribute, lists by requested level."""
  obtained, hit = {}, {}
  for name in NAMES:
    given = [
      attribute(name, answers.answer(chain, f'{name}_{level}'))
      for level in LEVELS
    ]
    obtained[name] = [float(np.mean(rated)) for rated in given]
    hit[name] = [
      float(np.mean(rated == level))
      for level, rated in zip(LEVELS, given, strict=True)
    ]
  return {
    'seed': chain.experiment.seed,
    'obtained': obtained,
    'hit': hit,
    'slope': {
      name: obedience.slope(LEVELS, rated) for name, rated in obtained.items()
    },
    'rising steps': {
      name: int(np.sum(np.diff(rated) > 0)) for name, rated in obtained.items()
    },
    'labels': {name: rightness(chain.data.records(name)) for name in LABELS},
  }


def attribute(name, samples):
  """[N] how answers truly rate."""
  return np.array(
    [
      getattr(sandbox.attributes(prompt, text), name)
      for prompt, text in zip(samples.prompts, samples.responses, strict=True)
    ]
  )


def rightness(labelled) -> dict[str, dict[str, float]]:
  """By attribute, how many labels are right, and the squared error of all."""
  said = [SCALE.conditioned_on(record.prompt.condition) for record in labelled]
  true = [sandbox.attributes(r.prompt, r.response) for r in labelled]
  found = {}
  for name in NAMES:
    off = np.array(
      [s[name] - getattr(t, name) for s, t in zip(said, true, strict=True)]
    )
    found[name] = {
      'right': float(np.mean(off == 0)),
      'squared error': float(np.mean(off**2)),
    }
  return found


def show(rows: Sequence[dict[str, Any]]) -> None:
  """Prints a line an attribute: what comes by level, and then the labels."""
  heads = [f'asked {level}' for level in LEVELS]
  print(f'{"":14}' + ''.join(f'{head:9}' for head in heads) + 'slope')
  for name in NAMES:
    means = np.mean([row['obtained'][name] for row in rows], axis=0)
    cells = ''.join(f'{mean:<9.2f}' for mean in means)
    slope = tables.over_seeds([row['slope'][name] for row in rows])
    rising = min(row['rising steps'][name] for row in rows)
    print(f'{name:14}{cells}{slope}, {rising} of {LEVELS[-1]} steps rise')
  print()
  for source, whose in LABELS.items():
    print(f'{whose} labels: share right, squared error')
    for name in NAMES:
      cells = [
        tables.over_seeds([row['labels'][source][name][number] for row in rows])
        for number in ('right', 'squared error')
      ]
      print(f'{name:14}' + ''.join(f'{cell:22}' for cell in cells))


def draw(path: pathlib.Path, *, rows: Sequence[dict[str, Any]]) -> None:
  """What was asked against what came, a thin line a seed, their mean bold."""
  with matplotlib.rc_context(plots.STYLE):
    page = figure.Figure(figsize=(13.0, 3.2), layout='constrained')
    panels = page.subplots(1, len(NAMES), sharey=True)
    for panel, name in zip(panels, NAMES, strict=True):
      values = np.array([row['obtained'][name] for row in rows])
      panel.plot(LEVELS, LEVELS, '--', color='#666666', label='as asked')
      obedience.draw(panel, LEVELS, values, plots.COLOURS[0])
      panel.set_title(name)
      panel.set_xticks(LEVELS)
      panel.set_xlabel('level asked for')
    panels[0].set_ylim(-0.1, LEVELS[-1] + 0.1)
    panels[0].set_ylabel('mean level of the answers')
    panels[0].legend(loc='upper left')
    page.suptitle('What SteerLM gives', x=0.01, ha='left')
    page.savefig(path)


def main():
  """Prints the tables; writes obedience.json and obedience.png."""
  options = runs.arguments(__doc__, 'runs/steerlm/obedience')
  chains = runs.chains(
    steering, options, needed=('steerlm', *LABELS), variants=requests()
  )
  rows = [measure(chain) for chain in chains]
  show(rows)
  content = {'asked': LEVELS, 'seeds': rows}
  draws = functools.partial(draw, rows=rows)
  runs.write(options.out, 'obedience', content, draws)


if __name__ == '__main__':
  main()
