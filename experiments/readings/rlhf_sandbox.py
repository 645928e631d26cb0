"""The sandbox in numbers: what a chain that has been run says of its world.

Run: python -m experiments.readings.rlhf_sandbox 0 1 2
after python -m launch.train experiments/rlhf/sandbox.py --set seed=0 (1, 2).
"""

import collections
import dataclasses
import json

import numpy as np

from experiments.readings import runs
from experiments.rlhf import sandbox as chain_file
from rlhf_jax import sandbox
from rlhf_jax.experiment import answers

VOTES = 10


def votes_of(chain, policy):
  """[prompts][VOTES] what a policy states to each held-out prompt."""
  how = dataclasses.replace(chain.experiment.evaluation, samples=VOTES)
  experiment = dataclasses.replace(chain.experiment, evaluation=how)
  samples = answers.answer(
    dataclasses.replace(chain, experiment=experiment), policy
  )
  stated = [sandbox.stated(text) for text in samples.responses]
  prompts = samples.prompts[::VOTES]
  return prompts, [stated[i : i + VOTES] for i in range(0, len(stated), VOTES)]


def accuracy(chain, policy):
  """Share right of single answers, of majorities, and of confident ones."""
  prompts, votes = votes_of(chain, policy)
  single, majority, confident = [], [], []
  for prompt, given in zip(prompts, votes, strict=True):
    right = sandbox.read(prompt).question.answer
    single.append(np.mean([vote == right for vote in given]))
    (winner, count), *_ = collections.Counter(given).most_common()
    majority.append(winner == right)
    if 2 * count >= VOTES:
      confident.append(winner == right)
  return {
    'right at temperature 1': np.mean(single),
    f'majority of {VOTES} right': np.mean(majority),
    'majority right where at least half agree': np.mean(confident),
    'prompts where at least half agree': len(confident) / len(prompts),
  }


def agreement(chain):
  """Share of annotated pairs of SFT samples that gold ranks the same way."""
  right = []
  for comparison in chain.data.records('preferences'):
    better, worse = sandbox.gold([comparison.prompt] * 2, comparison.responses)
    if better != worse:
      right.append(better > worse)
  return {'annotators agree with gold': np.mean(right)}


def numbers(chain):
  """Every number of one seed, by name."""
  found = agreement(chain)
  for policy in ('sft', 'ppo'):
    found |= {f'{policy}: {k}': v for k, v in accuracy(chain, policy).items()}
  return found


def main():
  """Prints a table: each number by seed, and their mean."""
  options = runs.arguments(__doc__)
  rows = [numbers(chain) for chain in runs.chains(chain_file, options)]
  print(json.dumps({'seeds': options.seeds}))
  for name in rows[0]:
    values = [row[name] for row in rows]
    each = '  '.join(f'{value:.3f}' for value in values)
    print(f'{name:50} {each}   mean {np.mean(values):.3f}')


if __name__ == '__main__':
  main()
