"""RLP in the sandbox with one part left out, or another in its place.

Each function gives {policy: the stages of the reward that it learns from}.
"""

from experiments.sandbox_chain import rlp
from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax.feedback import sampled_pairs
from rlhf_jax.losses import multi_view
from rlhf_jax.methods.rlp import consistency, labelled

# What a policy is asked about two responses, in words that it knows.
QUESTION = '{prompt} first {first} last {second}'
ANSWERS = ('first', 'last')


def representations(settings: Settings) -> dict[str, Stages]:
  """Table 4: RLP-UML, and other objectives in its place."""

  def stages(name, **values):
    return rlp.uml_stages(settings, name=f'reward_model_{name}', **values)

  return {
    'rlp_uml': stages('uml'),
    'uml_capped': stages('uml_capped', most_gradient=1.0),
    'infomax': stages('infomax', representation=multi_view.info_max),
    'mvi': stages('mvi', representation=multi_view.multi_view_information),
    'cl': stages('cl', representation=multi_view.contrastive),
  }


def pairs(settings: Settings) -> dict[str, Stages]:
  """Table 5: RLP-SPG, and other synthetic pairs in its place."""

  def stages(name, **values):
    return rlp.spg_stages(settings, name=f'reward_model_{name}', **values)

  return {
    'rlp_spg': stages('spg'),
    'spg_any': stages('spg_any', choose=consistency.any_member),
    'select_all': stages('select_all', gamma=0.0),
    'reward': _labelled_by_reward(settings, 'reward_model_reward'),
    'rlaif': _labelled_by_policy(settings, 'reward_model_rlaif'),
  }


def _labelled_by_reward(settings, name):
  pairs = labelled.stages_by_reward(
    sampled_pairs.PairConfig(), name=f'{name}_pairs'
  )
  return pairs | rlp.retrained_stages(settings, *pairs, name=name)


def _labelled_by_policy(settings, name):
  config = labelled.AskedConfig(question=QUESTION, answers=ANSWERS)
  pairs = labelled.stages_by_policy(config, name=f'{name}_pairs')
  return pairs | rlp.retrained_stages(settings, *pairs, name=name)


def beside_the_paper(settings: Settings) -> dict[str, Stages]:
  """Both parts together; and the same comparisons again, nothing else."""
  return {
    'control': rlp.retrained_stages(settings, name='reward_model_control'),
    'both': rlp.uml_stages(
      settings,
      data=('preferences', 'reward_model_spg_pairs'),
      name='reward_model_both',
    ),
  }
