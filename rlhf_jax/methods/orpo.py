"""Odds-ratio preference optimisation: imitation and ranking in one loss.

No reference and no separate SFT are needed: the likelihood of the chosen
response is part of the objective.

Source: Hong et al. 2024 (ORPO).
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
  """The paper's values for 7B models."""

  objective: pairwise.Objective = functools.partial(losses.orpo, beta=0.1)
  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=8e-6, decay=optimizers.linear
  )


# No reference is kept.
stages = Method(
  name='orpo',
  data='preferences',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
)
