"""Odds-ratio preference optimisation: imitation and ranking in one loss.

No reference and no separate SFT are needed: the likelihood of the chosen
response is part of the objective.

Source: Hong et al. 2024 (ORPO).
"""

import dataclasses
import functools
from typing import Any

from rlhf_jax.learners import pairwise
from rlhf_jax.losses import pairwise as losses
from rlhf_jax.stages import Stage
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

  objective: pairwise.Offered = functools.partial(losses.orpo, beta=0.1)
  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=8e-6, decay=optimizers.linear
  )


def stages(
  config: Config,
  *,
  data: str = 'preferences',
  start: str = 'sft',
  curriculum: Any = None,
  name: str = 'orpo',
) -> dict[str, Stage]:
  """{name}: from `start`, on pairs; no reference is kept."""
  return {
    name: Stage(
      init=pairwise.init,
      update=update,
      config=config,
      data=data,
      reads=(Comparison,),
      start={'policy': start},
      curriculum=curriculum,
    )
  }
