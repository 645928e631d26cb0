"""What the sandbox knows of reward models that other worlds do not."""

import functools
from typing import Any

from experiments.sandbox_chain.chain import Stages
from rlhf_jax import sandbox
from rlhf_jax.experiment import FittedReward, ImplicitReward, Stage
from rlhf_jax.sandbox import regression
from rlhf_jax.stages import members, names
from rlhf_jax.types import Comparison

# Pairs that differ in what is right, which only a known world can make.
SAMPLE_PAIRS = {
  'minimal': sandbox.minimal_pairs,
  'right on wrong': sandbox.right_on_wrong,
}
PHRASES_ALONE = functools.partial(
  regression.fit, features=regression.phrase_counts
)


def reward_measures(stages: Stages) -> dict[str, Any]:
  """Values of an Evaluation: how reward models are measured beside.

  On pairs that differ in what is right, against how likely annotators prefer a
  response, and beside regressions on the comparisons that they learn from.
  """
  return {
    'sample_pairs': SAMPLE_PAIRS,
    'preferred_by': sandbox.Annotator().chances,
    'fitted_rewards': ceilings(*compared(stages)),
  }


def ceilings(*data: tuple[str, ...]) -> dict[str, FittedReward]:
  """{'ceiling', 'phrases alone'} of each of these sets of comparisons.

  The first is what a reward with a table of answers learns, a bound for those
  of the same comparisons; the second what one learns that knows of none. Those
  after the first set's have the names of what they learn from beside.
  """
  found = {}
  for datasets in data:
    more = ' + '.join(name for name in datasets if name not in data[0])
    suffix = f' with {more}' if more else ''
    for name, fit in (
      ('ceiling', regression.fit),
      ('phrases alone', PHRASES_ALONE),
    ):
      found[name + suffix] = FittedReward(fit=fit, data=datasets)
  return found


def compared(stages: Stages) -> list[tuple[str, ...]]:
  """The comparisons that rewards learn from, each set of them once.

  Those of reward models, and of policies that are read as rewards.
  """
  policies = [
    reward.policy
    for stage in stages.values()
    for reward in members(stage.frozen.get('reward'))
    if isinstance(reward, ImplicitReward)
  ]
  found = [
    names(stage.data)
    for name, stage in stages.items()
    if isinstance(stage, Stage)
    and Comparison in stage.reads
    and (stage.produces in ('reward', 'unscaled_reward') or name in policies)
  ]
  return list(dict.fromkeys(found))
