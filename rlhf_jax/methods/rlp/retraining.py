"""RLP-UML: the reward model again, on comparisons and on two views of prompts.

Source: Lang, Huang & Li 2024 (RLP), eq. 1 and §3.1; learning rates and sizes
that it does not give are those of Federici et al. 2020, and of AlpacaFarm.
"""

import dataclasses
import functools

import optax

from rlhf_jax.kernels import bottleneck
from rlhf_jax.learners.reward import multi_view, view_metrics
from rlhf_jax.stages import Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Comparison, Sampled
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

COSINE = functools.partial(optimizers.cosine, final=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(multi_view.Config, optimizers.Steps):
  """RLP's values; see `paper` and `stable` for what it leaves open.

  Attributes:
    batch_size: comparisons a step.
    extra_batch_size: prompts a step, two responses of each.
    optimizer: of trunk and reward head.
    bottleneck_optimizer: of encoders and critic, which start from nothing.
  """

  batch_size: Count = 16
  extra_batch_size: Count = 32
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=3e-6, b2=0.999, decay=COSINE
  )
  bottleneck_optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=1e-4, b2=0.999, warmup=0.0
  )

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizers of the reward model and of the networks beside it."""
    return optimizers.by_role(
      {
        'reward': optimizers.adam(self.optimizer, self.steps),
        'bottleneck': optimizers.adam(self.bottleneck_optimizer, self.steps),
      }
    )


def stable(**values) -> Config:
  """RLP with a start that is less apt to collapse, and with balanced gradients.

  β_IB rises from 0.001 to 1 while the critic learns, by Federici et al.'s
  shares of the steps, and the views send no more into the trunk than the
  comparisons do. In a few hundred steps the critic needs a longer wait.
  """
  return Config(
    **{'schedule': bottleneck.exponential, 'most_gradient': 1.0} | values
  )


def paper(**values) -> Config:
  """RLP as it is written: β_IB is 1 from the first step on.

  With the deviations and the start of Federici et al.'s released code; that the
  critic is the same for both orders of the views is ours. It collapses where
  two responses to a prompt differ much.
  """
  return Config(
    **{
      'skl_coef': 1.0,
      'log_variance': bottleneck.softplus_log_variance,
      'deviation_bias': 0.0,  # σ is 0.69.
    }
    | values
  )


loss = multi_view.loss
update = multi_view.update


# From the trunk of a policy, as step 2 did, with views of samples beside the
# comparisons; with synthetic comparisons after the others it is RLP with both.
stages = Method(
  name='reward_model_uml',
  data='preferences',
  extra_data='policy_samples',
  reads=(Comparison,),
  reads_extra=(Sampled,),
  init=multi_view.init,
  update=update,
  produces='reward',
  alarm=view_metrics.collapse,
)
