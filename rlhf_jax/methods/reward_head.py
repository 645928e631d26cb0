"""A reward model whose trunk stays as it is: its head, from comparisons.

The trunk may be the first layers of a pretrained model alone. It reads every
response once, and its features are kept beside the data; the head is then
learnt in seconds. What comes out is a reward model as any other.

Source: a linear probe, Alain & Bengio 2016; the objective, Ouyang et al. 2022,
eq. 1.
"""

import dataclasses

import optax

from rlhf_jax.learners.reward import head
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count, NonNegative
from rlhf_jax.types.values import checked

loss = head.loss
update = head.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(head.Config, optimizers.Steps):
  """For some hundreds or thousands of pairs.

  Attributes:
    ridge: so large that a head of a thousand pairs is little more than their
      mean difference: it has as many numbers as the pairs are.
  """

  steps: Count = 300
  batch_size: Count = 64
  ridge: NonNegative = 0.3
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=3e-3, decay=optimizers.linear, max_grad_norm=float('inf')
  )

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizer of the head, over all steps."""
    return head.of_part(super().make_optimizer(), 'head')


stages = Method(
  name='reward_head',
  data='preferences',
  reads=(Comparison,),
  init=head.init,
  update=update,
  features=head.features,
  produces='reward',
  log_every=50,
  checkpoint_every=1_000_000,
)
