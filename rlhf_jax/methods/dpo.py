"""Direct preference optimisation: pairs and a reference, no reward model.

The log-ratio of the policy to the frozen reference is an implicit reward, and
the policy is fitted to pairs by it. Any objective of losses.pairwise may take
the place of the sigmoid: `--set stages.dpo.config.objective=…`. `pair_weights`
makes it WPO, and `response_logps` LD-DPO.

Source: Rafailov et al. 2023, eq. 7.
"""

import dataclasses

from rlhf_jax.learners import pairwise
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
  """The paper's values (appendix B) on AdamW, in place of its RMSprop."""

  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-6, max_grad_norm=10.0
  )


# Where it starts from is also the reference.
stages = Method(
  name='dpo',
  data='preferences',
  reads=(Comparison,),
  init=pairwise.init,
  loss=loss,
  update=update,
  frozen={'reference': 'start'},
  precompute=pairwise.reference_logps,
)
