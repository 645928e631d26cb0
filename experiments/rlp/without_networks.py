"""Claim: RLP-SPG works where a reward can say what samples agree on.

The sandbox without networks. SFT is the demonstrator, 32 texts a prompt; a
policy is these tilted, π ∝ exp(reward / β), which is the optimum of learning
from the reward at a price of β a nat; the reward is a ridge regression on
phrases and on a table of answers. The first one learns from annotated pairs of
SFT's, and its policy goes as far as it is let. Then it is fitted again with
pairs of that policy's samples beside, ten a prompt and visit, and put on the
scale of the first on SFT's texts: pairs of what the samples agree on (any
member preferred, or the best scored, as in Lang et al. 2024), pairs that the
reward labels itself, or as many annotated ones; gold itself is beside them. Win
rates are against the first policy, at its β and at its KL, on held-out prompts.
Holds if SPG wins more than half at equal KL where the reward has the table of
answers, most where annotations are few, and does not without the table.
Run: python -m experiments.rlp.without_networks --seeds 0 1 2 3 4
"""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.rlp import candidates
from rlhf_jax import sandbox
from rlhf_jax.evaluation import judges, report, statistics, tilted
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.sandbox import regression
from rlhf_jax.storage import files

TEXTS = 32  # To each prompt.
SAMPLES = 10  # Of a policy, each time that a prompt is visited.
GAMMA = 0.5


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


SETTINGS = (
  Setting(4096, 1, 1.5),
  Setting(4096, 4, 1.5),
  Setting(2048, 4, 1.5),
  Setting(1024, 4, 1.5),
  Setting(512, 4, 1.5),
  Setting(1024, 1, 0.7),
  Setting(1024, 1, 2.5),
  Setting(4096, 1, 1.5, table=False),
)


class Arm(NamedTuple):
  """What a retrained reward leads to, or the first one.

  Attributes:
    pairs: synthetic or annotated ones that were added.
    agrees: share of these whose first has the higher gold, ties ½.
    accuracy: share of pairs of the first policy's samples ranked as gold
      does.
    kl: nats from SFT at the first policy's β.
    win: win rate against the first policy there.
    win_at_kl: the same at its KL, as the two after it.
    right: share of right responses.
    gold: reward units.
  """

  pairs: int
  agrees: float
  accuracy: float
  kl: float
  win: float
  win_at_kl: float
  right: float
  gold: float


def simulate(
  train: candidates.Candidates,
  test: candidates.Candidates,
  setting: Setting,
  seed: int,
) -> dict[str, Arm]:
  """{'first', the arms of `second_pairs`, 'gold': what was measured}.

  Args:
    train: candidates of training prompts, their features as the setting has it.
    test: of held-out prompts.
    setting: of the simulation.
    seed: of annotators, samples and pairs.
  """
  rng = np.random.default_rng(seed)
  pairs = candidates.uniform(train, setting.pairs, rng)
  annotated = candidates.annotated(train, pairs, rng)
  first = fitted(train, annotated)
  scores, held_out = (c.features @ first for c in (train, test))
  held_out = held_out.reshape(test.gold.shape)
  beta = tilted.beta_at(held_out, setting.kl)
  policy = tilted.policy(scores.reshape(train.gold.shape), beta)
  drawn = candidates.samples(policy, setting.visits, SAMPLES, rng)
  start = tilted.policy(held_out, beta)

  def measured(added, scored):
    at_kl = tilted.policy(scored, tilted.beta_at(scored, setting.kl))
    at_beta = tilted.policy(scored, beta)
    wins = [tilted.win_rates(p, start, test.gold) for p in (at_beta, at_kl)]
    return Arm(
      len(added),
      agreement(train.gold.ravel()[added]),
      tilted.pair_accuracy(scored, test.gold, start),
      tilted.divergence(at_beta).mean(),
      *(each.mean() for each in wins),
      *((at_kl * v).sum(axis=1).mean() for v in (test.right, test.gold)),
    )

  none = np.zeros((0, 2), int)
  found = {'first': measured(none, held_out)}
  for name, added in second_pairs(train, drawn, scores, rng).items():
    again = fitted(train, np.concatenate([annotated, added]))
    scale = scores.std() / (train.features @ again).std()
    scored = scale * (test.features @ again).reshape(test.gold.shape)
    found[name] = measured(added, scored)
  scale = scores.std() / train.gold.std()
  return found | {'gold': measured(none, scale * test.gold)}


def fitted(found: candidates.Candidates, pairs: np.ndarray) -> np.ndarray:
  """[F] the regression of pairs [N, 2] of candidates, the better first."""
  better, worse = (found.features[pairs[:, side]] for side in (0, 1))
  return regression.coefficients(better - worse, np.ones(len(pairs)), ridge=1.0)


def second_pairs(
  train: candidates.Candidates,
  drawn: np.ndarray,
  scores: np.ndarray,
  rng: np.random.Generator,
) -> dict[str, np.ndarray]:
  """{arm: the pairs [N, 2] of a policy's samples that it learns from too}.

  Annotated ones are as many as those of any member.

  Args:
    train: candidates.
    drawn: [V, n] places of samples.
    scores: [P · K] of the first reward.
    rng: of annotators and of choices.
  """
  seed = int(rng.integers(2**32))
  best, any_member = (
    candidates.agreed(train, drawn, scores, choose, gamma=GAMMA, seed=seed)
    for choose in (consistency.best_scored, consistency.any_member)
  )
  first_two = drawn[rng.permutation(len(drawn)), :2]
  first_two = first_two[first_two[:, 0] != first_two[:, 1]]
  return {
    'best scored': best,
    'any member': any_member,
    'reward': candidates.higher_first(first_two, scores),
    'annotated again': candidates.annotated(
      train, first_two[: len(any_member)], rng
    ),
  }


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
  print(
    f'\n{setting.pairs} pairs, {setting.visits} visits, {setting.kl:g} nats'
    f'{table}\n{"":17}' + ''.join(f'{name:>17}' for name in Arm._fields)
  )
  for name, measures in arms.items():
    cells = [_cell(measures.get(field)) for field in Arm._fields]
    print(f'{name:17}' + ''.join(f'{cell:>17}' for cell in cells))


def _cell(found):
  if found is None:
    return '–'
  form = '.0f' if found.value > 10 else '.3f'
  if not np.isfinite(found.standard_error):
    return f'{found.value:{form}}'
  return f'{found.value:{form}} ± {2 * found.standard_error:{form}}'


def main() -> None:
  """Prints the table, and writes every number of it."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
    default='runs/rlp/without_networks.json',
    help='file of all numbers (default: %(default)s)',
  )
  options = parser.parse_args()
  datasets, rows = sandbox.World().load('').datasets, []
  written = [
    candidates.compose(datasets[name], TEXTS)
    for name in ('prompts', 'test_prompts')
  ]
  for setting in SETTINGS:
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


if __name__ == '__main__':
  main()
