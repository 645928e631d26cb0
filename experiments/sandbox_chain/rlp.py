"""RLP in the sandbox: policy samples, reward models from them, and on.

Retrained reward models are put on the scale of the first, so that policies that
learn from them are under the same penalty. Each takes as many updates as the
first did, whatever it is trained on: with synthetic pairs among them, the
annotated ones are gone over less than twice.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from experiments.sandbox_chain import feedback, rl
from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax import sandbox
from rlhf_jax.feedback import similarity
from rlhf_jax.kernels import bottleneck
from rlhf_jax.methods import rlp
from rlhf_jax.models import Reading
from rlhf_jax.training.optimizers import Adam, linear

SAME_ANSWER = functools.partial(similarity.answer, extract=sandbox.answer_given)

# In so few updates β_IB has to wait longer, and start lower: until the critic
# knows something the divergence alone moves the encoders, at Adam's pace
# whatever its weight, and the latents collapse, as with the preset's values.
AFTER_THE_CRITIC = functools.partial(
  bottleneck.exponential, start=1e-6, hold=0.3, full=0.7
)

# PPO of steps 3 and 5, at the rate that is its best here.
learn_stages = rl.tuned_ppo_stages


def sample_stages(settings: Settings, **placed: Any) -> Stages:
  """{'policy_samples'}: ten of PPO's policy to every training prompt."""
  del settings
  return rlp.samples.stages(rlp.samples.Config(), **placed)


def sampled_stages(settings: Settings) -> Stages:
  """Steps 0 to 3 (SFT, preferences, reward model, PPO), and its samples."""
  return (
    feedback.feedback_stages(settings)
    | learn_stages(settings)
    | sample_stages(settings)
  )


def uml_stages(
  settings: Settings,
  *,
  data: str | tuple[str, ...] = 'preferences',
  reading: Reading | None = None,
  name: str,
  **values: Any,
) -> Stages:
  """{name}: as step 2, with views of 32 prompts' samples beside each batch."""
  here = {
    'steps': 2 * settings.pairs // 32,
    'batch_size': 32,
    'extra_batch_size': 32,
    'centering': 0.01,
    'latent': 16,
    'hidden': 64,
    'critic_hidden': 64,
    'schedule': AFTER_THE_CRITIC,
    'optimizer': Adam(learning_rate=2e-3, decay=linear),
    'bottleneck_optimizer': Adam(learning_rate=1e-2, warmup=0.0),
  }
  trained = rlp.stages(
    rlp.Config(**here | values),
    data=data,
    name=f'{name}_unscaled',
    reading=reading,
  )
  return scaled(trained, name)


def spg_stages(
  settings: Settings,
  *,
  samples: str = 'policy_samples',
  name: str,
  **values: Any,
) -> Stages:
  """{name}: as step 2, on pairs of samples that agree too."""
  pairs = f'{name}_pairs'
  config = rlp.synthetic.Config(similarity=SAME_ANSWER, **values)
  made = rlp.synthetic.stages(config, data=samples, name=pairs)
  return made | retrained_stages(settings, pairs, name=name)


def retrained_stages(
  settings: Settings, *pairs: str, name: str, **values: Any
) -> Stages:
  """{name}: as step 2, on the annotated pairs and on others; from SFT too."""
  trained = feedback.reward_stages(
    settings,
    data=('preferences', *pairs),
    name=f'{name}_unscaled',
    **values,
  )
  return scaled(trained, name)


def scaled(trained: Stages, name: str) -> Stages:
  """`trained`, and {name}: its reward model on the scale of the first."""
  return rlp.scale.stages(rlp.scale.Config(), trained=trained, name=name)


def arms(
  settings: Settings,
  retrained: Mapping[str, Stages],
  *,
  learn: Callable[..., Stages] = learn_stages,
) -> Stages:
  """For each {name: stages of a retrained reward}, these and a policy {name}.

  Args:
    settings: of the chain.
    retrained: the reward's stage is the last of its stages.
    learn: (settings, reward=, name=) -> {name}, the stage that learns from it.
  """
  found = {}
  for name, stages in retrained.items():
    *_, reward = stages
    found |= stages
    found |= learn(settings, reward=reward, name=name)
  return found
