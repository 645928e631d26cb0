"""A model of people's ratings, an attribute each, on the SFT policy's trunk.

SteerLM's attribute prediction as a regression, which is how its released code
does it; `attribute_writer` is the paper's, which writes the ratings as text. A
response is read from its last token, which follows all of it; the released code
puts a marker there.

Source: Dong et al. 2023 (SteerLM); Wang et al. 2023 (HelpSteer).
"""

import dataclasses

from rlhf_jax.learners import attributes
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Rated
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = attributes.loss
update = attributes.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(attributes.Config, optimizers.Steps):
  """The released code's batch (it takes 800 steps), with the paper's rate."""

  batch_size: Count = 512
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=5e-6, weight_decay=0.01
  )


# From the trunk of a policy, on rated responses, bad ones too.
stages = Method(
  name='attribute_model',
  data='rated',
  reads=(Rated,),
  init=attributes.init,
  update=update,
  produces='attributes',
)
