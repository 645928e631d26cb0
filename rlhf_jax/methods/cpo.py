"""Contrastive preference optimisation: DPO without its reference, and SFT.

The reference is taken to be uniform, and the likelihood of the chosen response
keeps the policy near the data instead.

Source: Xu et al. 2024 (CPO).
"""

import dataclasses
import functools

from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = pairwise.loss
update = pairwise.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(pairwise.Config, optimizers.Steps):
  """The released recipe's values."""

  objective: pairwise.Objective = functools.partial(
    losses.cpo, beta=0.1, likelihood_coef=1.0
  )
  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-6)


# No reference is kept.
stages = Method(
  name='cpo',
  data='preferences',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
)
