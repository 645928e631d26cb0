"""RLP-SPG in ways that may keep a policy's manner, for its bench.

Each function gives {policy: the stages of the reward that it learns from}, or
{policy: the reward}, as far as these come of the samples of `on_policy`.
"""

import dataclasses

from experiments.sandbox_chain import on_policy, rlp
from experiments.sandbox_chain.chain import Stages
from experiments.sandbox_chain.on_policy import Settings
from rlhf_jax import sandbox
from rlhf_jax.kernels import ensembles
from rlhf_jax.methods.rlp import consistency, manner, scale
from rlhf_jax.stages import Ensemble, ImplicitReward

SPG = 'reward_model_spg'
IMPLICIT = 'implicit_spg'
IMPLICIT_UPDATES = 512  # As of `rlp/implicit.py`.


def rewards(settings: Settings) -> dict[str, Stages]:
  """The control, RLP-SPG, and what is another reward model.

  On the scale of the first by what differs between two responses of one answer;
  with synthetic pairs that weigh a half and a quarter; with such as differ in
  nothing but the answer, alone and beside the others.
  """

  def spg(name, **values):
    return on_policy.spg_stages(settings, name=name, **values)

  def again(*pairs, name):
    return on_policy.retrained_stages(settings, *pairs, name=name)

  restated = restated_stages(settings, name='restated_pairs')
  return {
    'control': again(name='reward_model_control'),
    'rlp_spg': spg(SPG),
    'spg_scaled_alike': scaled_alike(spg(SPG), name=f'{SPG}_alike'),
    'spg_half': spg(f'{SPG}_half', weight=0.5),
    'spg_quarter': spg(f'{SPG}_quarter', weight=0.25),
    'spg_restated': restated | again(*restated, name=f'{SPG}_restated'),
    'spg_and_restated': restated
    | again(f'{SPG}_pairs', *restated, name=f'{SPG}_and_restated'),
  }


def restated_stages(settings: Settings, *, name: str) -> Stages:
  """{name}: as `on_policy.pair_stages`, but for how each says it."""
  del settings
  config = manner.Restated(
    similarity=rlp.SAME_ANSWER,
    choose=consistency.any_member,
    restate=sandbox.restated,
  )
  return manner.pair_stages(config, name=name)


def scaled_alike(trained: Stages, *, name: str) -> Stages:
  """{name}: the last reward model of stages, on the first's scale of manner."""
  *before, unscaled, _ = trained
  config = manner.Alike(similarity=rlp.SAME_ANSWER)
  kept = {stage: trained[stage] for stage in (*before, unscaled)}
  return manner.alike_stages(config, name='alike_pairs') | manner.stages(
    trained=kept, data='alike_pairs', name=name
  )


def implicit_stages(settings: Settings) -> Stages:
  """RLP-SPG's pairs, and as its control none, to a policy that is a reward.

  And the scale that brings the first of these to the first reward model's.
  """
  found = on_policy.implicit_stages(
    settings, f'{SPG}_pairs', steps=IMPLICIT_UPDATES, name=IMPLICIT
  ) | on_policy.implicit_stages(
    settings, steps=IMPLICIT_UPDATES, name='implicit_control'
  )
  reward = on_policy.implicit(settings, IMPLICIT)
  return found | scale.implicit_stages(
    scale.Config(), reward=reward, name=f'{IMPLICIT}_scale'
  )


def combined(settings: Settings) -> dict[str, ImplicitReward | Ensemble]:
  """What is no reward model: policies that are read as rewards, and sums.

  Of the first reward model, which knows manner, and another, on its scale.
  """

  def first_and(other):
    return Ensemble(('reward_model', other), ensembles.mean)

  implicit = on_policy.implicit(settings, IMPLICIT)
  scaled = dataclasses.replace(implicit, scale=f'{IMPLICIT}_scale')
  return {
    'spg_added': first_and(SPG),
    'implicit_spg_scaled': scaled,
    'implicit_spg_added': first_and(scaled),
  }
