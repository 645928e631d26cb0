"""Preference ranking optimisation: a whole ranking in one listwise loss.

Each response has to be more probable, token by token, than all that rank below
it, the more so the larger the gap of their rewards; the best is imitated.
Candidates come scored and ranked (methods/candidates.py).

Source: Song et al. 2023 (PRO).
"""

import dataclasses
import functools

from rlhf_jax.learners import listwise
from rlhf_jax.losses import listwise as losses
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = listwise.loss
update = listwise.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(listwise.Config, optimizers.Steps):
  """The paper's values."""

  objective: listwise.Objective = functools.partial(losses.pro, sft_coef=0.05)
  batch_size: Count = 112
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=5e-6)


# No reference is kept.
stages = Method(
  name='pro',
  data='candidates',
  reads=(Comparison,),
  init=listwise.init,
  loss=loss,
  update=update,
)
