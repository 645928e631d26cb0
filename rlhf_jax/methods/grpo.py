"""GRPO: a response is judged by the others to its prompt, in their spread.

Several responses to each prompt; the advantage of each is its score less the
group's mean, over the group's standard deviation, the same at all its tokens.
Then clipped steps as PPO's, and the KL to the reference in the loss, by k3, not
in the reward. No critic.

`dr_grpo` and `gspo` are two of its offspring.

Source: Shao et al. 2024 (DeepSeekMath), section 4.1; Liu et al. 2025
(Dr. GRPO); Zheng et al. 2025 (GSPO).
"""

import dataclasses
import functools
from collections.abc import Callable

import chex

from rlhf_jax.kernels import baselines, divergences, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.stages import Online
from rlhf_jax.training import optimizers
from rlhf_jax.types.rules import Count, NonNegative
from rlhf_jax.types.values import checked

init = policy_gradient.init
loss = policy_gradient.loss
update = policy_gradient.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(policy_gradient.OnlineConfig):
  """The paper's values: 1024 responses a round, 64 to a prompt.

  Attributes:
    baseline: (rewards [B, K], mask [B, K]) -> advantages [B, K], a function of
      kernels.baselines.
  """

  batch_size: Count = 16
  samples: Count = 64
  baseline: Callable[[chex.Array, chex.Array], chex.Array] = (
    baselines.group_standardised
  )
  objective: policy_gradient.Objective = functools.partial(
    surrogates.clipped_surrogate, clip_epsilon=0.2
  )
  reduction: policy_gradient.Reduction = masking.sequence_mean
  reference_objective: policy_gradient.Objective | None = divergences.k3
  reference_coef: NonNegative = 0.04
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-6)

  def __post_init__(self):
    super().__post_init__()
    policy_gradient.refuse(self, fewest_samples=2)


def dr_grpo(**values) -> Config:
  """Dr. GRPO: neither the group's spread nor a response's length divides.

  GRPO pulls harder on prompts whose responses score nearly alike, and on the
  tokens of short responses; here every token of every response counts the same.
  Eight responses to a prompt, and no reference. The divisor is a constant: R,
  the most tokens that a response may have.

  Source: Liu et al. 2025, whose values these are.
  """
  own = {
    'samples': 8,
    'baseline': baselines.group_mean,
    'reduction': masking.fixed_length,
    'reference_objective': None,
    'reference_coef': 0.0,
  }
  return Config(**(own | values))


def gspo(**values) -> Config:
  """GSPO: the ratio of whole responses, clipped where it hardly moved.

  Four minibatches a round, and no reference.

  Source: Zheng et al. 2025, whose clipping range this is.
  """
  own = {
    'objective': functools.partial(
      surrogates.clipped_sequence_surrogate,
      clip_epsilon=3e-4,
      clip_epsilon_high=4e-4,
    ),
    'minibatches': 4,
    'reference_objective': None,
    'reference_coef': 0.0,
  }
  return Config(**(own | values))


shape = policy_gradient.shape_by_group
collect = functools.partial(policy_gradient.collect, shape=shape)


# Where it starts from is also the reference.
stages = Online(name='grpo', init=init, update=update, collect=collect)
