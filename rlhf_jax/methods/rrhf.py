"""RRHF: the policy's own scores put in the order of a reward, and SFT.

Mean log-probs of K candidates are ranked as an outside reward ranks them, and
the best candidate is imitated. Candidates are a dataset's, or the policy's own
samples (methods/candidates.py), once or in rounds: a round is a stage of
candidates by the policy of the round before, and a stage of these.

Source: Yuan et al. 2023 (RRHF).
"""

import dataclasses
from typing import Any

from rlhf_jax.learners import listwise
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

  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5, decay=optimizers.linear
  )


def stages(
  config: Config,
  *,
  data: str = 'candidates',
  start: str = 'sft',
  curriculum: Any = None,
  name: str = 'rrhf',
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
