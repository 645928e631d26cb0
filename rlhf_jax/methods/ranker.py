"""A pairwise ranker: which of two responses, both read at once, is preferred.

RSO's and SLiC's ranking model, beside the pointwise one of reward_model.py.

Source: Liu et al. 2024 (RSO); Zhao et al. 2023 (SLiC-HF).
"""

import dataclasses

from rlhf_jax.learners import ranking
from rlhf_jax.stages import Method
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


# From the trunk of a policy.
stages = Method(
  name='ranker',
  data='preferences',
  reads=(Comparison,),
  init=ranking.init,
  update=update,
  produces='ranker',
)
