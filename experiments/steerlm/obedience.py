"""Claim: attributes are controls; the more is asked for, the more is obtained
(Dong et al. 2023, the section on steering).

The policy `steerlm` of `steering.py` is asked for each level of each attribute,
the others at their best; what comes is how its answers truly rate. Holds if the
slope of what comes on what is asked is above 0 for every attribute; as asked is
1. Beside it, how often the two kinds of labels are right, the model's and
people's, on the responses that both have rated, and by how many levels they are
off, squared. Answers are kept, so what the experiment has sampled is read.
Run: python -m experiments.steerlm.obedience 0 1 2
after python -m launch.seeds experiments/steerlm/steering.py --seeds 0 1 2
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

from experiments.steerlm import steering
from rlhf_jax import sandbox
from rlhf_jax.evaluation import plots, statistics
from rlhf_jax.experiment import measuring, overrides, prepare

LEVELS = tuple(range(steering.SCALE.levels))
LABELS = {'annotated_rated': "the model's", 'annotated_people': "people's"}


def measure(seed: int, assignments: Sequence[str], stages) -> dict[str, Any]:
  """What one seed's policy gives: by attribute, lists by requested level."""
  settings = functools.reduce(
    lambda made, text: overrides.apply(made, *text.split('=', 1)),
    assignments,
    steering.Settings(seed=seed),
  )
  experiment = steering.config(settings)
  asked = steering.requests()
  chain = prepare(dataclasses.replace(experiment, answering=asked), stages)
  for name in ('steerlm', *LABELS):
    if not chain.folder(name).done:
      raise SystemExit(
        f'error: {name!r} of seed {seed} is not there yet; run python -m '
        'launch.train experiments/steerlm/steering.py first, with the same '
        'settings'
      )
  obtained, hit = {}, {}
  for name in steering.NAMES:
    given = [
      attribute(name, measuring.answer(chain, f'{name}_{level}'))
      for level in LEVELS
    ]
    obtained[name] = [float(np.mean(rated)) for rated in given]
    hit[name] = [
      float(np.mean(rated == level))
      for level, rated in zip(LEVELS, given, strict=True)
    ]
  return {
    'seed': seed,
    'obtained': obtained,
    'hit': hit,
    'slope': {
      name: float(np.polyfit(LEVELS, rated, 1)[0])
      for name, rated in obtained.items()
    },
    'rising steps': {
      name: int(np.sum(np.diff(rated) > 0)) for name, rated in obtained.items()
    },
    'labels': {name: rightness(chain.records(name)) for name in LABELS},
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
  said = [
    steering.SCALE.conditioned_on(record.prompt.condition)
    for record in labelled
  ]
  true = [sandbox.attributes(r.prompt, r.response) for r in labelled]
  found = {}
  for name in steering.NAMES:
    off = np.array(
      [s[name] - getattr(t, name) for s, t in zip(said, true, strict=True)]
    )
    found[name] = {
      'right': float(np.mean(off == 0)),
      'squared error': float(np.mean(off**2)),
    }
  return found


def over_seeds(values: Sequence[float]) -> str:
  """The mean, with its interval where there are seeds to tell it from."""
  found = statistics.mean(np.array(values, float), np.arange(len(values)))
  if len(values) < 2:
    return f'{found.value:.2f}'
  return f'{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]'


def show(rows: Sequence[dict[str, Any]]) -> None:
  """Prints a line an attribute: what comes by level, and then the labels."""
  heads = [f'asked {level}' for level in LEVELS]
  print(f'{"":14}' + ''.join(f'{head:9}' for head in heads) + 'slope')
  for name in steering.NAMES:
    means = np.mean([row['obtained'][name] for row in rows], axis=0)
    cells = ''.join(f'{mean:<9.2f}' for mean in means)
    slope = over_seeds([row['slope'][name] for row in rows])
    rising = min(row['rising steps'][name] for row in rows)
    print(f'{name:14}{cells}{slope}, {rising} of {LEVELS[-1]} steps rise')
  print()
  for source, whose in LABELS.items():
    print(f'{whose} labels: share right, squared error')
    for name in steering.NAMES:
      cells = [
        over_seeds([row['labels'][source][name][number] for row in rows])
        for number in ('right', 'squared error')
      ]
      print(f'{name:14}' + ''.join(f'{cell:22}' for cell in cells))


def draw(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  """What was asked against what came, a thin line a seed, their mean bold."""
  with matplotlib.rc_context(plots.STYLE):
    page = figure.Figure(figsize=(13.0, 3.2), layout='constrained')
    panels = page.subplots(1, len(steering.NAMES), sharey=True)
    for panel, name in zip(panels, steering.NAMES, strict=True):
      values = np.array([row['obtained'][name] for row in rows])
      colour = plots.COLOURS[0]
      panel.plot(LEVELS, LEVELS, '--', color='#666666', label='as asked')
      panel.plot(LEVELS, values.T, color=colour, linewidth=0.8, alpha=0.5)
      panel.plot(
        LEVELS, values.mean(0), 'o-', color=colour, linewidth=2, label='given'
      )
      panel.set_title(name)
      panel.set_xticks(LEVELS)
      panel.set_xlabel('level asked for')
    panels[0].set_ylim(-0.1, LEVELS[-1] + 0.1)
    panels[0].set_ylabel('mean level of the answers')
    panels[0].legend(loc='upper left')
    page.suptitle('What SteerLM gives', x=0.01, ha='left')
    page.savefig(path)


def main():
  """Prints the table; writes obedience.json and obedience.png."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  parser.add_argument(
    '--out', type=pathlib.Path, default='runs/steerlm/obedience'
  )
  parser.add_argument(
    '--set', action='append', default=[], metavar='NAME=VALUE',
    help='a setting of steering.py, as it was set there',
  )  # fmt: skip
  options = parser.parse_args()
  rows = [measure(s, options.set, options.stages) for s in options.seeds]
  show(rows)
  options.out.mkdir(parents=True, exist_ok=True)
  written = {'asked': LEVELS, 'seeds': rows}
  path = options.out / 'obedience.json'
  path.write_text(json.dumps(written, indent=2) + '\n')
  draw(options.out / 'obedience.png', rows)
  print(f'written: {path}, {options.out / "obedience.png"}')


if __name__ == '__main__':
  main()
