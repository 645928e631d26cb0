"""Reward learning without networks: what its experiments have in common.

SFT is the demonstrator, whose texts are the candidates; a policy is these
tilted, π ∝ exp(reward / β), which is the optimum of learning from the reward at
a price of β a nat; a reward is a ridge regression on phrases and on a table of
answers.
"""

import argparse
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from experiments.rlp import candidates
from rlhf_jax import sandbox
from rlhf_jax.evaluation import judges, report, statistics, tilted
from rlhf_jax.sandbox import regression
from rlhf_jax.storage import files

TEXTS = 32  # To each prompt.
SAMPLES = 10  # Of a policy, each time that a prompt is visited.
NONE = np.zeros((0, 2), int)  # No pair.


class Setting(NamedTuple):
  """A row of the table.

  Attributes:
    pairs: annotated ones that the first reward learns from.
    visits: of each training prompt by the samples.
    kl: of the first policy, nats on held-out prompts.
    table: whether the reward has a table of answers.
  """

  pairs: int
  visits: int
  kl: float
  table: bool = True


class Arm(NamedTuple):
  """What a retrained reward leads to, or the first one.

  Attributes:
    pairs: synthetic or annotated ones that were added; NaN where none were.
    agrees: share of these whose first has the higher gold, ties ½.
    accuracy: share of pairs of the first policy's samples ranked as gold
      does.
    kl: nats from SFT at the first policy's β.
    win: win rate against the first policy there.
    win_at_kl: the same at its KL, as the two after it.
    right: share of right responses.
    gold: reward units.
  """

  pairs: float
  agrees: float
  accuracy: float
  kl: float
  win: float
  win_at_kl: float
  right: float
  gold: float


# (train, test, setting, seed) -> {arm: what was measured}.
Simulate = Callable[
  [candidates.Candidates, candidates.Candidates, Setting, int],
  Mapping[str, Arm],
]


class First(NamedTuple):
  """The first reward of a simulation, and its policy.

  Attributes:
    train, test: candidates of training and of held-out prompts.
    setting: of the simulation.
    annotated: [N, 2] the pairs that the reward learnt from.
    scores: [P · K] of the reward on the training prompts' candidates.
    held_out: [P, K] on the others'.
    beta: reward units a nat, of its policy.
    drawn: [V, n] places of the policy's samples, to training prompts.
  """

  train: candidates.Candidates
  test: candidates.Candidates
  setting: Setting
  annotated: np.ndarray
  scores: np.ndarray
  held_out: np.ndarray
  beta: float
  drawn: np.ndarray

  def arm(self, scored: np.ndarray, added: np.ndarray = NONE) -> Arm:
    """What a reward leads to.

    Args:
      scored: [P, K] its scores of the held-out candidates.
      added: [M, 2] pairs that it learnt from beside the annotated ones.
    """
    gold, kl = self.test.gold, self.setting.kl
    start = tilted.policy(self.held_out, self.beta)
    at_kl = tilted.policy(scored, tilted.beta_at(scored, kl))
    at_beta = tilted.policy(scored, self.beta)
    wins = [tilted.win_rates(p, start, gold) for p in (at_beta, at_kl)]
    return Arm(
      len(added) or float('nan'),
      agreement(self.train.gold.ravel()[added]),
      tilted.pair_accuracy(scored, gold, start),
      tilted.divergence(at_beta).mean(),
      *(each.mean() for each in wins),
      *((at_kl * v).sum(axis=1).mean() for v in (self.test.right, gold)),
    )

  def again(self, reward: np.ndarray, added: np.ndarray = NONE) -> Arm:
    """What a retrained reward [F] leads to, on the scale of the first."""
    scale = self.scores.std() / (self.train.features @ reward).std()
    scored = scale * (self.test.features @ reward)
    return self.arm(scored.reshape(self.test.gold.shape), added)


def begin(
  train: candidates.Candidates,
  test: candidates.Candidates,
  setting: Setting,
  rng: np.random.Generator,
) -> First:
  """Fits the first reward; samples its policy.

  Args:
    train: candidates of training prompts, their features as the setting has it.
    test: of held-out prompts.
    setting: of the simulation.
    rng: of annotators and samples.
  """
  pairs = candidates.uniform(train, setting.pairs, rng)
  annotated = candidates.annotated(train, pairs, rng)
  reward = fitted(train, annotated)
  scores = train.features @ reward
  held_out = (test.features @ reward).reshape(test.gold.shape)
  beta = tilted.beta_at(held_out, setting.kl)
  policy = tilted.policy(scores.reshape(train.gold.shape), beta)
  drawn = candidates.samples(policy, setting.visits, SAMPLES, rng)
  return First(train, test, setting, annotated, scores, held_out, beta, drawn)


def fitted(
  found: candidates.Candidates, pairs: np.ndarray, **options: Any
) -> np.ndarray:
  """[F] the regression of pairs [N, 2] of candidates, the better first.

  Args:
    found: candidates.
    pairs: places of two each.
    **options: of `regression.coefficients`.
  """
  return regression.coefficients(
    gaps(found, pairs), np.ones(len(pairs)), ridge=1.0, **options
  )


def gaps(found: candidates.Candidates, pairs: np.ndarray) -> sparse.csr_array:
  """[N, F] features of the first less the second of pairs [N, 2]."""
  return found.features[pairs[:, 0]] - found.features[pairs[:, 1]]


def agreement(gold: np.ndarray) -> float:
  """Share of pairs of gold [N, 2] whose first is the higher, ties ½."""
  if not len(gold):
    return float('nan')
  return float(np.mean(judges.credits_from_scores(*gold.T)))


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
    description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
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
    candidates.compose(datasets[name], TEXTS)
    for name in ('prompts', 'test_prompts')
  ]
  for setting in settings:
    seen = written
    if not setting.table:
      seen = [candidates.without_answers(each) for each in written]
    found = [simulate(*seen, setting, seed) for seed in options.seeds]
    arms = pooled(found)
    show(setting, arms)
    rows.append(setting._asdict() | {'seeds': found, 'arms': arms})
  files.make_folder(options.out.parent)
  content = {'seeds': options.seeds, 'settings': rows}
  files.write_json(options.out, report.plain(content))
  print(f'\nwritten: {options.out}')
