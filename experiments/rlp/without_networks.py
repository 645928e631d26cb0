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

from collections.abc import Mapping

import numpy as np

from experiments import simulation
from experiments.simulation import Arm, Candidates, Setting, pairs

GAMMA = 0.5
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


def simulate(
  train: Candidates, test: Candidates, setting: Setting, seed: int
) -> Mapping[str, Arm]:
  """{'first', the arms of `pairs.second_pairs`, 'gold': what was measured}.

  Args:
    train, test, setting: as of `simulation.begin`.
    seed: of annotators, samples and pairs.
  """
  rng = np.random.default_rng(seed)
  first = simulation.begin(train, test, setting, rng)
  found = {'first': first.arm(first.held_out)}
  drawn = (train, first.drawn, first.scores, rng)
  for name, added in pairs.second_pairs(*drawn, gamma=GAMMA).items():
    learnt = np.concatenate([first.annotated, added])
    found[name] = first.again(simulation.fitted(train, learnt), added)
  scale = first.scores.std() / train.gold.std()
  return found | {'gold': first.arm(scale * test.gold)}


if __name__ == '__main__':
  simulation.run(__doc__, SETTINGS, simulate, 'runs/rlp/without_networks.json')
