"""How well attributes are predicted: by regression, as text, and by people.

On held-out responses whose true attributes are known: how often each predictor
is exactly right, and how far off it is on average, beside people on the
responses that they rated for training, a level off three times in ten. Why
predicted labels do or do not beat people's in steering.py.
Run: python -m experiments.steerlm.predictors 0 1 2
after python -m launch.seeds experiments/steerlm/steering.py --seeds 0 1 2.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from experiments.steerlm import steering
from rlhf_jax import sandbox
from rlhf_jax.experiment import prepare, writing
from rlhf_jax.generation import annotating

RATERS = {
  'regression': (annotating.by_model, 'annotated_regressed'),
  'as text': (annotating.by_writer, 'annotated_rated'),
}


def levels(labelled) -> np.ndarray:
  """[N, M] levels, NaN where nobody knew them."""
  return np.array(
    [
      [entry.values.get(name, np.nan) for name in steering.NAMES]
      for entry in labelled
    ],
    float,
  )


def measure(seed, stages_dir) -> dict[str, list[list[float]]]:
  """{who: [share exactly right, mean distance] of each attribute}."""
  chain = prepare(steering.config(steering.Settings(seed=seed)), stages_dir)
  records = chain.records('test_rated')
  true = np.array([record.ratings for record in records])
  found = {}
  for name, (rater, stage) in RATERS.items():
    examples, _ = chain.encode(records)
    with jax.set_mesh(chain.mesh):
      _, tools = writing.Bench(chain, stage, examples).turn(0)
      parts = [
        levels(rater(records[first : first + 256], tools, steering.SCALE))
        for first in range(0, len(records), 256)
      ]
    found[name] = compared(np.concatenate(parts), true)
  seen = chain.records('rated')
  given = np.array([record.ratings for record in seen])
  real = sandbox.attributes
  found['people'] = compared(
    given, np.array([real(r.prompt, r.response) for r in seen])
  )
  return found


def compared(predicted, true) -> list[list[float]]:
  """[share right, mean distance] of each attribute; unknown is wrong."""
  right = np.mean(predicted == true, axis=0)
  off = np.nanmean(np.abs(predicted - true), axis=0)
  return [list(map(float, pair)) for pair in zip(right, off, strict=True)]


def main():
  """Prints a table and writes it as JSON."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument(
    '--stages', type=pathlib.Path, default=pathlib.Path('runs/stages')
  )
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=pathlib.Path('runs/steerlm/predictors.json'),
  )
  options = parser.parse_args()
  runs = [measure(seed, options.stages) for seed in options.seeds]
  print('exactly right, and levels off on average; means over seeds')
  print(f'{"":12}', *(f'{name:>16}' for name in steering.NAMES))
  for who in runs[0]:
    means = np.mean([run[who] for run in runs], axis=0)
    print(f'{who:12}', *(f'{r:9.2f}, {off:5.2f}' for r, off in means))
  options.out.parent.mkdir(parents=True, exist_ok=True)
  named = dict(zip(map(str, options.seeds), runs, strict=True))
  options.out.write_text(json.dumps(named, indent=2) + '\n')
  print(f'written: {options.out}')


if __name__ == '__main__':
  main()
