"""Claim: each part of RLP is needed (Lang et al. 2024, tables 4 and 5).

In place of the information bottleneck: what a response's code tells of the
response (InfoMax), what the views tell of each other (MVI), and telling views
apart (CL). In place of the pairs of self-consistency: pairs that the policy
labels (RLAIF), that the first reward labels (Reward), and of every prompt
(Select-All). Beside the paper: both parts together, any sample of the largest
group in place of the best scored one, and a control, the reward model trained
again on the same comparisons and nothing else. Holds if RLP-UML and RLP-SPG
beat each alternative. How many synthetic pairs gold agrees with:
`python -m experiments.readings.rlp_pairs 0 1 2 3 4`.
Run: python -m launch.seeds experiments/rlp/ablations.py --seeds 0 1 2 3 4
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import rlp, rlp_parts
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  uml, spg = rlp_parts.representations(settings), rlp_parts.pairs(settings)
  others = rlp_parts.beside_the_paper(settings)
  compared = {
    'rlp_uml': ('ppo', 'control', *uml),
    'rlp_spg': ('ppo', 'control', *spg),
    'spg_any': ('ppo', 'control', 'rlp_spg'),
    'both': ('ppo', 'control', 'rlp_uml', 'rlp_spg'),
    'control': ('ppo',),
  }
  return sandbox_chain.experiment(
    settings,
    title='What RLP is made of',
    stages=rlp.sampled_stages(settings)
    | rlp.arms(settings, uml | spg | others),
    scored_by='reward_model',
    contrasts={
      f'{ours} beats {name}': (ours, name)
      for ours, names in compared.items()
      for name in names
      if name != ours
    },
  )
