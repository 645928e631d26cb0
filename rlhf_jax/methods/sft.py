"""Supervised fine-tuning: the policy imitates demonstrations.

Source: Ouyang et al. 2022, §3.5, step 1; Touvron et al. 2023 (Llama 2), §3.1.
"""

import dataclasses
import functools

from rlhf_jax.learners import likelihood
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers

loss = likelihood.loss
update = likelihood.update


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(likelihood.Config):
  """Llama 2's values (§3.1), but for the steps, which depend on the data.

  Attributes:
    steps: updates.
    batch_size: demonstrations in a batch.
    optimizer: of the policy.
  """

  steps: int
  batch_size: int = 64
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=2e-5,
    decay=functools.partial(optimizers.cosine, final=0.1),
    weight_decay=0.1,
  )

  def make_optimizer(self):
    """The optimizer over all steps."""
    return optimizers.adam(self.optimizer, self.steps)


def stages(config: Config, *, data: str = 'demonstrations') -> dict[str, Stage]:
  """{'sft'}: fresh parameters, trained on the demonstrations."""
  return {
    'sft': Stage(init=likelihood.init, update=update, config=config, data=data)
  }
