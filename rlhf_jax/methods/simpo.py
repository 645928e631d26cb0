"""Simple preference optimisation: mean log-probs, a margin, no reference.

The implicit reward is the mean log-prob of a response, which is what decoding
goes by, and has to win by a margin.

Source: Meng et al. 2024 (SimPO).
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
  """The paper's values for base models."""

  objective: pairwise.Objective = functools.partial(
    losses.simpo, beta=2.0, gamma=1.0
  )
  batch_size: Count = 128
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=6e-7, warmup=0.1, decay=optimizers.cosine
  )


# No reference is kept.
stages = Method(
  name='simpo',
  data='preferences',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
)
