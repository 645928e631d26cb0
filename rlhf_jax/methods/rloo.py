"""RLOO: REINFORCE, each response's baseline the mean of the others.

Several responses to each prompt, the score of each less β times the KL of the
whole response, and from that the mean of the other responses' same. The
response is one action: its log-prob is the sum of its tokens'. No critic, no
ratio, one step a round.

Source: Ahmadian et al. 2024; Kool et al. 2019.
"""

import dataclasses
import functools
from collections.abc import Callable

import chex

from rlhf_jax.kernels import baselines, masking
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
  """Four responses to a prompt as in the paper; TRL's KL coefficient.

  Attributes:
    baseline: (rewards [B, K], mask [B, K]) -> advantages [B, K], a function of
      kernels.baselines.
  """

  samples: Count = 4
  baseline: Callable[[chex.Array, chex.Array], chex.Array] = (
    baselines.leave_one_out
  )
  objective: policy_gradient.Objective = surrogates.policy_gradient
  reduction: policy_gradient.Reduction = masking.sequence_sum
  kl_coef: NonNegative = 0.05
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-6)

  def __post_init__(self):
    super().__post_init__()
    policy_gradient.refuse(self, fewest_samples=2)


shape = policy_gradient.shape_by_group
collect = functools.partial(policy_gradient.collect, shape=shape)


# Where it starts from is also the reference.
stages = Online(name='rloo', init=init, update=update, collect=collect)
