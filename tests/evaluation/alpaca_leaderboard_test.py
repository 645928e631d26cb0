"""AlpacaEval 2's leaderboard from its annotations, where a clone has them.

  ALPACA_EVAL=/path/to/alpaca_eval python -m pytest -s <this file>

Of 50 models with all 805 annotations in the clone at hand (cd543a1), win rates
are the published ones to 1e-9 points, and length-controlled ones miss them by
(points on average, at most)

  from lengths alone                  6.94  28.03
  with difficulties                   1.34  13.22
  with copies of the reference        4.31  10.50
  with both, as published             0.020  0.143

Models whose annotations lack a row are left out: there the published code takes
the difficulty of another instruction, by place.

Difficulties are no file of the repository. They are read off its own
predictions: annotations of `vicuna-13b-v1.5` hold σ(θ + ψγ) of each row, and θ
and ψ are published.

The copies' verdicts are no file of every clone either, but a fit knows of them
two sums alone, Σ s · tanh(·) and Σ s · γ. These follow from the published
coefficients of one model, at which the likelihood's slope is naught:
`openbuddy-falcon-40b-v9`, whose penalty is the weakest. Verdicts that have them
stand in here; the other 49 models are not looked at.
"""

import csv
import json
import os
import subprocess

import numpy as np
import pytest
from scipy import optimize, special

from rlhf_jax.evaluation import length_control, win_rate
from rlhf_jax.types import Message, Prompt

CLONE = os.environ.get('ALPACA_EVAL')
JUDGE = 'weighted_alpaca_eval_gpt4_turbo'
REFERENCE = 'gpt4_1106_preview'
COPIES = (f'{REFERENCE}_concise', f'{REFERENCE}_verbose')
KNOWN = 'openbuddy-falcon-40b-v9'
SOURCE = 'src/alpaca_eval'

pytestmark = pytest.mark.skipif(
  not CLONE,
  reason='ALPACA_EVAL names no clone of github.com/tatsu-lab/alpaca_eval',
)


def content(path):
  """A file of the clone, or None where it has none (or a pointer to one)."""
  done = subprocess.run(
    ['git', '-C', CLONE, 'show', f'HEAD:{path}'],
    capture_output=True,
    check=False,
    env=os.environ | {'GIT_NO_LAZY_FETCH': '1'},
  )
  pointer = done.stdout.startswith(b'version https://git-lfs')
  return None if done.returncode or pointer else done.stdout.decode()


def table(path):
  rows = list(csv.reader(content(path).splitlines()))
  return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}


@pytest.fixture(scope='module')
def board():
  return table(
    f'{SOURCE}/leaderboards/data_AlpacaEval_2/{JUDGE}_leaderboard.csv'
  )


@pytest.fixture(scope='module')
def coefficients():
  """{model: θ, φ of a longer answer, ψ}."""
  found = table(
    f'{SOURCE}/metrics/weights/{JUDGE}/length_controlled_v1/'
    f'baseline_{REFERENCE}.csv'
  )
  # Their gap is the reference's length less the policy's.
  return {
    name: (
      float(row['not_gamed_baseline.astype(float)']),
      -float(row['np.tanh(std_delta_len)']),
      float(row['instruction_difficulty']),
    )
    for name, row in found.items()
  }


@pytest.fixture(scope='module')
def annotations(board):
  """{model: (prompts, credits, gaps)} of those whose annotations are whole."""
  found = {}
  for name in board:
    text = content(f'results/{name}/{JUDGE}/annotations.json')
    rows = json.loads(text) if text else []
    if len(rows) == 805 and name != REFERENCE:
      found[name] = (
        [Prompt((Message('user', row['instruction']),)) for row in rows],
        np.array([credit(row['preference']) for row in rows]),
        np.array(
          [len(row['output_2']) - len(row['output_1']) for row in rows], float
        ),
      )
  assert len(found) > 30
  return found


def credit(preference):
  if preference is None:
    return np.nan
  return 0.5 if preference == 0 else preference - 1.0


@pytest.fixture(scope='module')
def difficulties(coefficients):
  """{instruction: its difficulty}."""
  name = 'vicuna-13b-v1.5'
  theta, _, psi = coefficients[name]
  rows = json.loads(content(f'results/{name}/{JUDGE}/{JUDGE}/annotations.json'))
  return {
    row['instruction']: (special.logit(row['glm_preference']) - theta) / psi
    for row in rows
  }


@pytest.fixture(scope='module')
def copies(annotations, coefficients, difficulties):
  if all(name in annotations for name in COPIES):
    return [length_control.Copies(*annotations[name]) for name in COPIES]
  name = f'results/{KNOWN}/{JUDGE}/annotations.json'
  lengths = {
    row['instruction']: len(row['output_1'])
    for row in json.loads(content(name))
  }
  found = []
  for name in COPIES:
    rows = json.loads(content(f'results/{name}/model_outputs.json'))
    prompts = [Prompt((Message('user', row['instruction']),)) for row in rows]
    gaps = [len(row['output']) - lengths[row['instruction']] for row in rows]
    found.append((prompts, np.array(gaps, float)))

  def features(prompts, gaps):
    hard = [difficulties[prompt.text] for prompt in prompts]
    return np.stack([np.tanh(gaps / gaps.std(ddof=1)), hard], axis=1)

  theta, *slopes = coefficients[KNOWN]
  prompts, credits, gaps = annotations[KNOWN]
  own = features(prompts, gaps)
  slope = (credits - special.expit(theta + own @ slopes)) @ own
  both = np.concatenate([features(*copy) for copy in found])
  sums = special.expit(both @ slopes) @ both - slope / 0.1

  def missing(x):
    return special.expit(both @ x) @ both - sums

  solved = optimize.fsolve(missing, slopes)
  np.testing.assert_allclose(missing(solved), 0.0, atol=1e-6)
  return [
    length_control.Copies(p, special.expit(features(p, g) @ solved), g)
    for p, g in found
  ]


def test_win_rates(board, annotations):
  for name, (prompts, credits, _) in annotations.items():
    rate = win_rate.estimate(credits, prompts, most_missing=1.0)
    row = board[name]
    assert 100 * rate.value == pytest.approx(float(row['win_rate']), abs=1e-9)
    error = float(row['standard_error'])
    assert 100 * rate.standard_error == pytest.approx(error, abs=1e-9), name
    assert rate.count == int(row['n_total'])


@pytest.mark.parametrize(
  'hard, held, mean, largest',
  [
    (False, False, 8.0, 30.0),
    (True, False, 2.0, 15.0),
    (False, True, 5.0, 12.0),
    (True, True, 0.03, 0.2),
  ],
)
def test_length_controlled_win_rates(
  board, annotations, difficulties, copies, hard, held, mean, largest
):
  gaps = []
  for name, (prompts, credits, lengths) in annotations.items():
    rate = length_control.win_rate(
      credits,
      lengths,
      prompts,
      difficulties=(
        np.array([difficulties[p.text] for p in prompts]) if hard else None
      ),
      copies=copies if held else (),
      resamples=2,
    )
    published = float(board[name]['length_controlled_winrate'])
    gaps.append(abs(100 * rate.value - published))
  print(f'{len(gaps)} models: {np.mean(gaps):.3f}, at most {max(gaps):.3f}')
  assert np.mean(gaps) < mean
  assert max(gaps) < largest
