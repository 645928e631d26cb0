"""A reward model from comparisons, on the SFT policy's trunk.

Source: Ouyang et al. 2022, eq. 1; Touvron et al. 2023 (Llama 2), §3.2.2.
"""

import dataclasses
import functools

from rlhf_jax.learners import reward
from rlhf_jax.stages import Method
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
    learning_rate=1e-5, decay=functools.partial(optimizers.cosine, final=0.1)
  )


# From the trunk of a policy; `start={'reward': …}` goes on from a reward model.
# The head reads the last token; with `reading=models.mean_of_tokens`, all.
stages = Method(
  name='reward_model',
  data='preferences',
  reads=(Comparison,),
  init=reward.init,
  update=update,
  produces='reward',
)
