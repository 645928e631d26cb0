"""Preference ranking optimisation: a whole ranking in one listwise loss.

Each response has to be more probable, token by token, than all that rank below
it, the more so the larger the gap of their rewards; the best is imitated.
Candidates come scored and ranked (methods/candidates.py).

Source: Song et al. 2023 (PRO).
"""

import dataclasses
import functools
from typing import Any

from rlhf_jax.learners import listwise
from rlhf_jax.losses import listwise as losses
from rlhf_jax.stages import Stage
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

  objective: listwise.Offered = functools.partial(losses.pro, sft_coef=0.05)
  batch_size: Count = 112
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=5e-6)


def stages(
  config: Config,
  *,
  data: str = 'candidates',
  start: str = 'sft',
  curriculum: Any = None,
  name: str = 'pro',
) -> dict[str, Stage]:
  """{name}: from `start`, on ranked candidates; no reference is kept."""
  return {
    name: Stage(
      init=listwise.init,
      update=update,
      config=config,
      data=data,
      reads=(Comparison,),
      start={'policy': start},
      curriculum=curriculum,
    )
  }
