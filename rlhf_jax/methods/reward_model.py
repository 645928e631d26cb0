"""A reward model from comparisons, on the SFT policy's trunk.

Source: Ouyang et al. 2022, eq. 1; Touvron et al. 2023 (Llama 2), §3.2.2.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from rlhf_jax.learners import reward
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = reward.loss
update = reward.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(reward.Config, optimizers.Steps):
  """Llama 2's values (§3.2.2), but for the steps, which depend on the data."""

  batch_size: Count = 512
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-5,
    decay=functools.partial(optimizers.cosine, final=0.1),
  )


def stages(
  config: Config,
  *,
  data: str = 'preferences',
  start: str | Mapping[str, str] = 'sft',
  curriculum: Any = None,
  name: str = 'reward_model',
) -> dict[str, Stage]:
  """{name}: from the trunk of `start`, trained on comparisons.

  Args:
    config: of the training.
    data: comparisons.
    start: a policy, whose trunk it starts from, or {'reward': …}, a reward
      model that is trained on.
    curriculum: of the comparisons, if any.
    name: of the stage.
  """
  return {
    name: Stage(
      init=reward.init,
      update=update,
      config=config,
      data=data,
      reads=(Comparison,),
      start={'policy': start} if isinstance(start, str) else start,
      produces='reward',
      curriculum=curriculum,
    )
  }
