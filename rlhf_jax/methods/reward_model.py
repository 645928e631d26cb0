"""A reward model from comparisons, on the SFT policy's trunk.

Source: Ouyang et al. 2022, eq. 1; Touvron et al. 2023 (Llama 2), §3.2.2.
"""

import dataclasses
import functools

from rlhf_jax.learners import reward
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers

loss = reward.loss
update = reward.update


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(reward.Config):
  """Llama 2's values (§3.2.2), but for the steps, which depend on the data.

  Attributes:
    steps: updates; the papers make one pass over the comparisons.
    batch_size: comparisons in a batch.
    optimizer: of the reward model.
  """

  steps: int
  batch_size: int = 512
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-5,
    decay=functools.partial(optimizers.cosine, final=0.1),
  )

  def make_optimizer(self):
    """The optimizer over all steps."""
    return optimizers.adam(self.optimizer, self.steps)


def stages(
  config: Config, *, data: str = 'preferences', start: str = 'sft'
) -> dict[str, Stage]:
  """{'reward_model'}: from the trunk of `start`, trained on comparisons."""
  return {
    'reward_model': Stage(
      init=reward.init,
      update=update,
      config=config,
      data=data,
      start={'policy': start},
      produces='reward',
    )
  }
