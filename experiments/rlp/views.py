"""Claim: a divergence between views of a prompt takes what a reward is about.

RLP-UML lets a reward keep what two views of a prompt, two samples of the policy
that learnt from the first reward, have in common, and charges for that in which
they differ. On the reward's own direction that charge is the square of its
difference between the views. Without networks, as in `without_networks.py`, the
first reward is fitted again with λ times the mean of these squares beside the
mean loss of the annotated pairs: over two samples of one prompt, and over two
of those that state the same answer, which are views of a group. Win rates are
against the first policy, at its β and at its KL, on held-out prompts. Holds if
no λ wins more than half at equal KL, of views of either kind.
Run: python -m experiments.rlp.views --seeds 0 1 2 3 4
"""

from collections.abc import Mapping

import numpy as np

from experiments import simulation
from experiments.simulation import Arm, Candidates, Setting, pairs

SETTINGS = (
  Setting(4096, 1, 1.5),
  Setting(1024, 1, 1.5),
  Setting(1024, 1, 2.5),
)
WEIGHTS = (0.01, 0.03, 0.1, 0.3, 1.0)


def simulate(
  train: Candidates, test: Candidates, setting: Setting, seed: int
) -> Mapping[str, Arm]:
  """{'first', 'prompt 0.01', …, 'group 1': what was measured}.

  Args:
    train, test, setting: as of `simulation.begin`.
    seed: of annotators and samples.
  """
  rng = np.random.default_rng(seed)
  first = simulation.begin(train, test, setting, rng)
  found = {'first': first.arm(first.held_out)}
  views = {
    'prompt': first.drawn[:, :2],
    'group': pairs.agreeing(first.drawn, train.answers.ravel()),
  }
  for kind, alike in views.items():
    gaps = simulation.gaps(train, alike)
    # ½ Σ of squares to a mean of them, beside a sum of the pairs' losses.
    each = 2.0 * len(first.annotated) / len(alike)
    for weight in WEIGHTS:
      reward = simulation.fitted(
        train, first.annotated, alike=gaps, alike_weight=weight * each
      )
      found[f'{kind} {weight:g}'] = first.again(reward)
  return found


if __name__ == '__main__':
  simulation.run(__doc__, SETTINGS, simulate, 'runs/rlp/views.json')
