"""Claim: a Decision Transformer beats filtering and regression, and is level
with PPO, without generating anything (Hu et al. 2023, arXiv 2308.12050).

One pool of demonstrations and preference responses in equal parts, scored by
the reward model; from one SFT policy, with as many updates each (three epochs
of the whole pool): on what scores above the mean, on each prompt's best, on all
weighted by exp(z), and on all with z written before the response, also with
samples of the SFT policy added to the pool (0.4 of it). PPO beside.
The first version of the paper says better than PPO, the second comparable.
Holds if the Decision Transformer, asked for `target`, wins against the other
offline arms, its interval against PPO reaches one half, and generation adds
nothing. What it does when asked for other rewards: `obedience.py`.
Run: python -m launch.seeds experiments/offline_rl/against_ppo.py --seeds 0 1 2
"""

import dataclasses
import functools

from experiments import sandbox_chain, sandbox_rl
from experiments.sandbox_chain import Stages, tuned
from rlhf_jax import sandbox
from rlhf_jax.experiment import Answering, Experiment
from rlhf_jax.generation.reward_condition import Target
from rlhf_jax.learners import likelihood
from rlhf_jax.methods import labels, offline_rl
from rlhf_jax.types.rules import Finite
from rlhf_jax.types.values import checked

FILTER_RATE = 1e-3
BEST_RATE = 1e-3
REGRESSION_RATE = 1e-3
# Rewards are new words, which take larger steps: of 3e-4, 1e-3 and 3e-3, as of
# the others.
CONDITIONED_RATE = 3e-3

DECIMALS = 1  # NeMo-Aligner's; the sandbox spells every digit as a word.

FIXED = ('labelled_demonstrations', 'labelled_preferences')
GENERATED = (*FIXED, 'labelled_samples')
OTHER_TARGETS = (-1.0, 0.0, 1.0, 2.0, 5.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox_chain.Settings):
  """Those of the sandbox chain, and:

  Attributes:
    target: the reward that the Decision Transformers are asked for, in standard
      deviations of the pool's reward from its mean.
  """

  target: Finite = 1.5


def target(z: float) -> Target:
  """A reward to ask for, as these policies were told theirs."""
  return Target(z, decimals=DECIMALS, spelling=sandbox.spell)


def asking(policy: str, z: float) -> Answering:
  return Answering(policy=policy, condition=target(z))


def labelled(settings: Settings) -> Stages:
  """The pool's parts: 0.3, 0.3 and 0.4 of it."""
  count = settings.pairs
  return (
    labels.stages(labels.Config(count=count), name='labelled_demonstrations')
    | labels.stages(
      labels.Config(count=count),
      data='preferences',
      name='labelled_preferences',
    )
    | labels.stages(
      labels.Config(samples=1, count=round(count * 0.4 / 0.3)),
      data='prompts',
      policy='sft',
      name='labelled_samples',
    )
  )


def arm(
  settings: Settings,
  name: str,
  recipe: offline_rl.Recipe,
  learning_rate: float,
  data: tuple[str, ...] = FIXED,
) -> Stages:
  """{name}_pool and {name}: what the recipe makes of the pool, imitated."""
  return offline_rl.pool_stages(
    offline_rl.Pool(recipe=recipe), data=data, name=f'{name}_pool'
  ) | offline_rl.stages(
    offline_rl.Config(
      weighing=likelihood.self_normalised,
      **tuned(settings, learning_rate) | {'steps': 6 * settings.pairs // 64},
    ),
    data=f'{name}_pool',
    name=name,
  )


def config(settings: Settings) -> Experiment:
  told = functools.partial(
    offline_rl.conditioned, decimals=DECIMALS, spelling=sandbox.spell
  )
  weighted = functools.partial(offline_rl.weighted, beta=1.0)
  above = functools.partial(offline_rl.above, threshold=0.0)
  return sandbox_chain.experiment(
    settings,
    title='Offline RLHF against PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_rl.tuned_ppo_stages(settings)
    | labelled(settings)
    | arm(settings, 'filtered', above, FILTER_RATE)
    | arm(settings, 'best', offline_rl.best_of_prompt, BEST_RATE)
    | arm(settings, 'rwr', weighted, REGRESSION_RATE)
    | arm(settings, 'dt', told, CONDITIONED_RATE)
    | arm(settings, 'dt_generated', told, CONDITIONED_RATE, GENERATED),
    answering={
      'dt': asking('dt', settings.target),
      'dt_generated': asking('dt_generated', settings.target),
    }
    | {f'dt_at_{z:g}': asking('dt', z) for z in OTHER_TARGETS},
    condition_tokens=sandbox_chain.CONDITION_TOKENS,
    contrasts={
      'DT beats RWR': ('dt', 'rwr'),
      'DT beats filtering': ('dt', 'filtered'),
      "DT beats each prompt's best": ('dt', 'best'),
      'DT beats PPO': ('dt', 'ppo'),
      'RWR beats PPO': ('rwr', 'ppo'),
      'filtering beats PPO': ('filtered', 'ppo'),
      'DT with generation beats DT without': ('dt_generated', 'dt'),
      'RWR beats filtering': ('rwr', 'filtered'),
      'DT at its target beats DT at the mean': ('dt', 'dt_at_0'),
      **{
        f'{name} beats SFT': (name, 'sft')
        for name in ('filtered', 'best', 'rwr', 'dt', 'dt_generated', 'ppo')
      },
    },
  )
