"""What two samples to a prompt share, of gold and of each attribute.

Of the variance over the samples of the policy that RLP learns from: the share
that lies within prompts, which is in what two views of a prompt differ, and of
that the share between samples that state different answers, which views of one
group do not have. A view is taken as x + s e of a shared x, both of variance
one, and the reward as reading one such dimension (the linear-Gaussian model of
two views); above the last column's β a bottleneck keeps nothing of it.
Run: python -m experiments.readings.rlp_views 13 14 15 16 17 18 19 20 21 22
after python -m launch.seeds experiments/rlp/bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.readings import runs, tables
from experiments.rlp import bench
from rlhf_jax import sandbox
from rlhf_jax.types import Sampled

SAMPLES = 'policy_samples'


class Shares(NamedTuple):
  """Of the variance of a number over samples of several prompts.

  Attributes:
    within: share of it that lies within prompts.
    between_groups: share of that between groups of a prompt.
  """

  within: float
  between_groups: float


def shares(values: np.ndarray, groups: np.ndarray) -> Shares:
  """How the variance of values [P, n] divides, n samples to each of P prompts.

  Args:
    values: of each sample; those of a prompt differ somewhere.
    groups: [P, n] int, equal where samples of a prompt state the same.
  """
  count = values.shape[1]
  within = values.var(axis=1, ddof=1).mean()
  between = max(0.0, values.mean(axis=1).var(ddof=1) - within / count)
  same = groups[:, :, None] == groups[:, None, :]
  group_means = (same @ values[..., None])[..., 0] / same.sum(axis=2)
  left = np.mean((values - group_means) ** 2)
  spread = np.mean((values - values.mean(axis=1, keepdims=True)) ** 2)
  return Shares(within / (within + between), 1.0 - left / spread)


def most_beta(s: float) -> float:
  """The β above which the best encoder of two views x + s e keeps nothing.

  Of all q, gain² by variance, the most that ½ log(1 − ρ²) + β q s² < 0 allows,
  with ρ = q / (1 + q (1 + s²)) the correlation of the two representations.
  """
  q = np.geomspace(1e-4, 1e8, 100_001)
  rho = q / (1.0 + q * (1.0 + s**2))
  return float(np.max(-0.5 * np.log1p(-(rho**2)) / (q * s**2)))


def measured(records: Sequence[Sampled]) -> dict[str, Shares]:
  """{'gold', each attribute: how its variance divides}."""
  rows = {'gold': []} | {name: [] for name in sandbox.Attributes._fields}
  groups = []
  for record in records:
    texts, prompt = record.responses, record.prompt
    rows['gold'].append(sandbox.gold([prompt] * len(texts), texts))
    rated = [sandbox.attributes(prompt, text) for text in texts]
    for name in sandbox.Attributes._fields:
      rows[name].append([getattr(each, name) for each in rated])
    # One that states nothing agrees with its like alone.
    stated = [sandbox.stated(text) or f'{text} .' for text in texts]
    groups.append(np.unique(stated, return_inverse=True)[1])
  return {
    name: shares(np.array(values, float), np.array(groups))
    for name, values in rows.items()
  }


def main():
  """Prints a line a quantity; writes the numbers of each seed."""
  options = runs.arguments(__doc__, 'runs/rlp/views')
  chains = runs.chains(bench, options, needed=(SAMPLES,))
  found = [measured(list(chain.data.records(SAMPLES))) for chain in chains]
  rows = {}
  for name in found[0]:
    seeds = [seed[name] for seed in found]
    mean = np.mean([each.within for each in seeds])
    spread = np.sqrt(mean / (1.0 - mean))
    rows[name] = [
      tables.over_seeds([each.within for each in seeds]),
      tables.over_seeds([each.between_groups for each in seeds]),
      f'{spread:.1f}',
      f'{most_beta(spread):.4f}',
    ]
  columns = ('within prompts', 'of it by answer', 's', 'kept up to β')
  tables.show('of the variance', columns, rows)
  runs.write(
    options.out,
    'variance',
    [{k: v._asdict() for k, v in seed.items()} for seed in found],
  )


if __name__ == '__main__':
  main()
