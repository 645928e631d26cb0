"""A pairwise ranker: which of two responses, both read at once, is preferred.

RSO's and SLiC's ranking model, beside the pointwise one of reward_model.py.

Source: Liu et al. 2024 (RSO); Zhao et al. 2023 (SLiC-HF).
"""

import dataclasses
from typing import Any

from rlhf_jax.learners import ranking
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = ranking.loss
update = ranking.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(ranking.Config, optimizers.Steps):
  """SLiC-HF's batch; the rate is ours, for AdamW in place of its Adafactor."""

  batch_size: Count = 128
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=1e-5)


def stages(
  config: Config,
  *,
  data: str = 'preferences',
  start: str = 'sft',
  curriculum: Any = None,
  name: str = 'ranker',
) -> dict[str, Stage]:
  """{name}: from the trunk of `start`, trained on comparisons."""
  return {
    name: Stage(
      init=ranking.init,
      update=update,
      config=config,
      data=data,
      reads=(Comparison,),
      start={'policy': start},
      produces='ranker',
      curriculum=curriculum,
    )
  }
