"""InfoRM on a trunk that stays: the bottleneck alone, of its kept features.

As `reward_head`, and learnt in seconds as it is.

Source: Miao et al. 2024 (InfoRM, arXiv 2402.09345), whose trunk learns; the
paper's d and β, the steps and the rate of `reward_head`.
"""

import dataclasses

import optax

from rlhf_jax.learners.reward import head, variational_head
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = variational_head.loss
update = variational_head.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(variational_head.Config, optimizers.Steps):
  """For some hundreds or thousands of pairs."""

  steps: Count = 300
  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=3e-3, decay=optimizers.linear, max_grad_norm=float('inf')
  )

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizer of the bottleneck, over all steps."""
    return head.of_part(super().make_optimizer(), 'bottleneck')


stages = Method(
  name='inform_head',
  data='preferences',
  reads=(Comparison,),
  init=variational_head.init,
  update=update,
  features=variational_head.features,
  produces='reward',
  log_every=50,
  checkpoint_every=1_000_000,
)
