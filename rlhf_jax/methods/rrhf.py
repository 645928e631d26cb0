"""RRHF: the policy's own scores put in the order of a reward, and SFT.

Mean log-probs of K candidates are ranked as an outside reward ranks them, and
the best candidate is imitated. Candidates are a dataset's, or the policy's own
samples (methods/candidates.py), once or in rounds: a round is a stage of
candidates by the policy of the round before, and a stage of these.

Source: Yuan et al. 2023 (RRHF).
"""

import dataclasses

from rlhf_jax.learners import listwise
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

  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5, decay=optimizers.linear
  )


# No reference is kept.
stages = Method(
  name='rrhf',
  data='candidates',
  reads=(Comparison,),
  init=listwise.init,
  loss=loss,
  update=update,
)
