"""Supervised fine-tuning: the policy imitates demonstrations.

Source: Ouyang et al. 2022, §3.5, step 1; Touvron et al. 2023 (Llama 2), §3.1.
"""

import dataclasses
import functools

from rlhf_jax.learners import likelihood
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Demonstration
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = likelihood.loss
update = likelihood.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """Llama 2's values (§3.1), but for the steps, which depend on the data.

  Attributes:
    row_length: tokens of a row that several demonstrations share, so that less
      of it is padding; at least those of the longest one. None gives each a row
      of its own, and a batch as many demonstrations as it has rows.
  """

  batch_size: Count = 64
  row_length: Count | None = None
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5,
    decay=functools.partial(optimizers.cosine, final=0.1),
    weight_decay=0.1,
  )


# From fresh parameters, unless an earlier stage is given to start from.
stages = Method(
  name='sft',
  data='demonstrations',
  reads=(Demonstration,),
  init=likelihood.init,
  update=update,
  sources={'start': None},
)
