"""Offline RLHF in the sandbox: one pool of scored responses, learnt from."""

import dataclasses
import functools

from experiments.sandbox_chain import chain
from experiments.sandbox_chain.chain import Stages
from experiments.sandbox_chain.pairs import tuned
from rlhf_jax import sandbox
from rlhf_jax.experiment import PolicyVariant
from rlhf_jax.feedback.reward_condition import Target
from rlhf_jax.learners import likelihood
from rlhf_jax.methods import labels, offline_rl
from rlhf_jax.types.rules import Finite
from rlhf_jax.types.values import checked

RATE = 1e-3
# Rewards are new words, which take larger steps: of 3e-4, 1e-3 and 3e-3, as of
# the others.
CONDITIONED_RATE = 3e-3

DECIMALS = 1  # NeMo-Aligner's; the sandbox spells every digit as a word.

FIXED = ('labelled_demonstrations', 'labelled_preferences')
GENERATED = (*FIXED, 'labelled_samples')


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(chain.Settings):
  """Those of the sandbox chain, and:

  Attributes:
    target: the reward that the Decision Transformers are asked for, in standard
      deviations of the pool's reward from its mean.
  """

  target: Finite = 1.5


def asking(policy: str, z: float) -> PolicyVariant:
  """Asks a policy for a reward, as it was told those of its data."""
  target = Target(z, decimals=DECIMALS, spelling=sandbox.spell)
  return PolicyVariant(policy=policy, condition=target)


def labelled_stages(settings: Settings) -> Stages:
  """The pool's parts: 0.3, 0.3 and 0.4 of it."""
  fixed = labels.Config(count=settings.pairs)
  sampled = labels.Config(samples=1, count=round(settings.pairs * 0.4 / 0.3))
  demonstrations, preferences, samples = GENERATED
  return (
    labels.stages(fixed, name=demonstrations)
    | labels.stages(fixed, data='preferences', name=preferences)
    | labels.stages(sampled, data='prompts', policy='sft', name=samples)
  )


def arm(
  settings: Settings,
  name: str,
  recipe: offline_rl.Recipe,
  *,
  learning_rate: float = RATE,
  data: tuple[str, ...] = FIXED,
) -> Stages:
  """{name}_pool and {name}: what the recipe makes of the pool, imitated.

  As many updates as go three times over the whole pool.
  """
  values = tuned(settings, learning_rate)
  values |= {'steps': 6 * settings.pairs // 64}
  pool = offline_rl.pool_stages(
    offline_rl.Pool(recipe=recipe), data=data, name=f'{name}_pool'
  )
  return pool | offline_rl.stages(
    offline_rl.Config(weighing=likelihood.self_normalised, **values),
    data=f'{name}_pool',
    name=name,
  )


def filtered(settings: Settings) -> Stages:
  """{'filtered'}: what scores above the mean."""
  recipe = functools.partial(offline_rl.above, threshold=0.0)
  return arm(settings, 'filtered', recipe)


def best(settings: Settings) -> Stages:
  """{'best'}: the best of each prompt."""
  return arm(settings, 'best', offline_rl.best_of_prompt)


def weighted(settings: Settings) -> Stages:
  """{'rwr'}: all, weighted by exp(z)."""
  recipe = functools.partial(offline_rl.weighted, beta=1.0)
  return arm(settings, 'rwr', recipe)


def conditioned(
  settings: Settings, *, data: tuple[str, ...] = FIXED, name: str = 'dt'
) -> Stages:
  """{name}: all, with z written before the response."""
  recipe = functools.partial(
    offline_rl.conditioned, decimals=DECIMALS, spelling=sandbox.spell
  )
  return arm(settings, name, recipe, learning_rate=CONDITIONED_RATE, data=data)
