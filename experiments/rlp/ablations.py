"""Claim: each part of RLP is needed (Lang et al. 2024, tables 4 and 5).

In place of the information bottleneck: what a response's code tells of the
response (InfoMax), what the views tell of each other (MVI), and telling views
apart (CL). In place of the pairs of self-consistency: pairs that the policy
labels (RLAIF), that the first reward labels (Reward), and of every prompt
(Select-All). Beside the paper: both parts together, any sample of the largest
group in place of the best scored one, and a control, the reward model trained
again on the same comparisons and nothing else. Holds if RLP-UML and RLP-SPG
beat each alternative. The share of synthetic pairs that gold agrees with:
`python -m experiments.rlp.pairs 0 1 2 3 4`.
Run: python -m launch.seeds experiments/rlp/ablations.py --seeds 0 1 2 3 4
"""

from experiments import sandbox_chain, sandbox_rlp
from rlhf_jax.experiment import Experiment
from rlhf_jax.losses import multi_view
from rlhf_jax.methods.rlp import consistency

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  uml, spg = representations(settings), pairs(settings)
  others = {
    'control': sandbox_rlp.retrained_stages(
      settings, name='reward_model_control'
    ),
    'both': sandbox_rlp.uml_stages(
      settings,
      data=('preferences', 'reward_model_spg_pairs'),
      name='reward_model_both',
    ),
  }
  return sandbox_chain.experiment(
    settings,
    title='What RLP is made of',
    stages=sandbox_rlp.sampled_stages(settings)
    | sandbox_rlp.arms(settings, uml | spg | others),
    scored_by='reward_model',
    contrasts={
      f'{ours} beats {name}': (ours, name)
      for ours, names in (
        ('rlp_uml', ('ppo', 'control', *uml)),
        ('rlp_spg', ('ppo', 'control', *spg)),
        ('spg_any', ('ppo', 'control', 'rlp_spg')),
        ('both', ('ppo', 'control', 'rlp_uml', 'rlp_spg')),
        ('control', ('ppo',)),
      )
      for name in names
      if name != ours
    },
  )


def representations(settings: Settings) -> dict[str, sandbox_chain.Stages]:
  """Table 4: RLP-UML, and other objectives in its place."""

  def stages(name, **values):
    return sandbox_rlp.uml_stages(
      settings, name=f'reward_model_{name}', **values
    )

  return {
    'rlp_uml': stages('uml'),
    'uml_capped': stages('uml_capped', most_gradient=1.0),
    'infomax': stages('infomax', representation=multi_view.info_max),
    'mvi': stages('mvi', representation=multi_view.multi_view_information),
    'cl': stages('cl', representation=multi_view.contrastive),
  }


def pairs(settings: Settings) -> dict[str, sandbox_chain.Stages]:
  """Table 5: RLP-SPG, and other synthetic pairs in its place."""

  def stages(name, **values):
    return sandbox_rlp.spg_stages(
      settings, name=f'reward_model_{name}', **values
    )

  return {
    'rlp_spg': stages('spg'),
    'spg_any': stages('spg_any', choose=consistency.any_member),
    'select_all': stages('select_all', gamma=0.0),
    'reward': sandbox_rlp.reward_pair_stages(
      settings, name='reward_model_reward'
    ),
    'rlaif': sandbox_rlp.policy_pair_stages(
      settings, name='reward_model_rlaif'
    ),
  }
