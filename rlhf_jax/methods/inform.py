"""InfoRM: a reward that passes a variational bottleneck, and keeps little.

What it gives is a reward model as any other; `learners.reward.variational`
reads its latents, and evaluation's `cluster_separation` how far a policy's are
from the SFT policy's, which jumps when the policy has left the ground that the
reward knows.

Source: Miao et al. 2024 (InfoRM, arXiv 2402.09345). The paper's d and β; the
optimizer is `reward_model`'s.
"""

import dataclasses
import functools

from rlhf_jax.kernels import bottleneck
from rlhf_jax.learners.reward import variational
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = variational.loss
update = variational.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(variational.Config, optimizers.Steps):
  """The paper's 128 latents and β = 0.1; see `released`."""

  batch_size: Count = 512
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-5, decay=functools.partial(optimizers.cosine, final=0.1)
  )


def released(**values) -> Config:
  """InfoRM as its code has it: 512 latents, which cost by their average.

  Its coefficient of 1 is on the mean over responses, half a pair's sum.
  """
  return Config(
    **{
      'latent': 512,
      'divergence': bottleneck.averaged_standard_normal_kl,
      'divergence_coef': 0.5,
    }
    | values
  )


# From the trunk of a policy, or of `start={'reward': …}`.
stages = Method(
  name='inform',
  data='preferences',
  reads=(Comparison,),
  init=variational.init,
  update=update,
  produces='reward',
)
