"""Does agreement tell what is right? Confidence against correctness.

Ten samples of PPO's policy and of SFT's to each held-out prompt: how the share
of the largest group goes with its answer's being right, and how many prompts a
least confidence keeps.
Run: python -m experiments.readings.rlp_coverage 0 1 2 3 4
after python -m launch.seeds experiments/rlp/published.py --seeds 0 1 2 3 4.
"""

import collections

import numpy as np
from scipy import stats

from experiments.readings import policy_samples as samples
from experiments.readings import reward_learning_plots, runs, tables
from experiments.rlp import published
from rlhf_jax import sandbox

SAMPLES = 10
POLICIES = ('sft', 'ppo')
LEVELS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)


def confidences(chain, policy):
  """[P] confidence, and whether the most frequent answer is right."""
  drawn = samples.sample(chain, policy, SAMPLES)
  shares, right = [], []
  for prompt, texts in zip(drawn.prompts, drawn.texts, strict=True):
    stated = map(sandbox.stated, texts)
    votes = collections.Counter(word for word in stated if word is not None)
    # Samples that state nothing agree with nobody.
    word, count = votes.most_common(1)[0] if votes else (None, 1)
    shares.append(count / SAMPLES)
    right.append(word == sandbox.read(prompt).question.answer)
  return np.array(shares), np.array(right)


def show(policy, seeds):
  """What is kept by a least confidence, and how much of it is right."""
  correlations = [stats.spearmanr(c, right).statistic for c, right in seeds]
  print(
    f'{policy}: rank correlation of confidence and being right '
    f'{tables.over_seeds(correlations)}'
  )
  rows = {}
  for level in LEVELS:
    kept = [np.mean(c >= level) for c, _ in seeds]
    right = [np.mean(r[c >= level]) for c, r in seeds if np.any(c >= level)]
    rows[f'{level}'] = [tables.over_seeds(kept), tables.over_seeds(right)]
  tables.show('least confidence', ('prompts kept', 'right of them'), rows)


def main():
  """Prints a table a policy; writes the numbers and a plot of PPO's."""
  options = runs.arguments(__doc__, 'runs/rlp/coverage')
  chains = runs.chains(published, options, needed=POLICIES)
  found = {
    policy: [confidences(chain, policy) for chain in chains]
    for policy in POLICIES
  }
  for policy, seeds in found.items():
    show(policy, seeds)
    shares, right = map(np.concatenate, zip(*seeds, strict=True))
    # All seeds answer the same prompts.
    prompts = np.tile(np.arange(len(shares) // len(seeds)), len(seeds))
    runs.write(
      options.out,
      policy,
      {'confidence': shares.tolist(), 'right': right.tolist()},
      lambda path, shown=(shares, right, prompts): (
        reward_learning_plots.acceptance(path, *shown)
      ),
    )


if __name__ == '__main__':
  main()
