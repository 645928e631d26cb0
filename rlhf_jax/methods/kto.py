"""KTO and BCO: single responses, each desirable or not, and a reference.

A single response is desirable where its score is above 0, as a file's label
says. Pairs serve as well: the chosen one is desirable, the rejected one not.
`unpaired.bco` is the objective of BCO, `unpaired.kto` that of KTO.

Source: Ethayarajh et al. 2024 (KTO); Jung et al. 2024 (BCO).
"""

import dataclasses

from rlhf_jax.learners import unpaired
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = unpaired.loss
update = unpaired.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(unpaired.Config, optimizers.Steps):
  """The values that the paper recommends, on AdamW."""

  batch_size: Count = 64
  optimizer: optimizers.Adam = optimizers.Adam(learning_rate=5e-7)


# Where it starts from is also the reference.
stages = Method(
  name='kto',
  data='preferences',
  reads=(Comparison,),
  least_responses=1,
  init=unpaired.init,
  loss=loss,
  update=update,
  frozen={'reference': 'start'},
)
