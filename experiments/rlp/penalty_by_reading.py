"""Which penalty and rate suit PPO on each reading of a reward model?

A head on the last token, a head on the mean over tokens, and a policy that is
read as a reward, each with PPO at three penalties and two rates, for 40 and for
80 rounds: what `bench.py` has is chosen here, on the validation prompts with
seed 100, of which no claim is made, by the most gold after 80 rounds.
Run: python -m launch.train experiments/rlp/penalty_by_reading.py
"""

import dataclasses
import itertools
from collections.abc import Callable

from experiments import sandbox_chain
from experiments.sandbox_chain import feedback, on_policy, rlp
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.models import last_token, mean_of_tokens
from rlhf_jax.types.rules import Seed
from rlhf_jax.types.values import checked

PENALTIES = (0.05, 0.1, 0.2)
RATES = (1e-4, 2e-4)
ROUNDS = (40, 80)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(on_policy.Settings):
  """As of all of RLP's."""

  seed: Seed = 100
  measure: Callable[..., Evaluation] = sandbox_chain.validation


def config(settings: Settings) -> Experiment:
  stages = {
    **on_policy.sft_stages(settings),
    **feedback.preference_stages(settings),
    **on_policy.implicit_stages(settings, name='implicit'),
  }
  rewards = {'implicit': on_policy.implicit(settings, 'implicit')}
  for name, reading in (('last', last_token), ('mean', mean_of_tokens)):
    stages |= on_policy.reward_stages(settings, reading=reading, name=name)
    rewards[name] = name
  for (name, reward), penalty, rate, rounds in itertools.product(
    rewards.items(), PENALTIES, RATES, ROUNDS
  ):
    stages |= rlp.learn_stages(
      dataclasses.replace(settings, ppo_steps=rounds),
      reward=reward,
      kl_coef=penalty,
      learning_rate=rate,
      name=f'{name}_{round(100 * penalty):02d}_{round(1e5 * rate)}_{rounds}',
    )
  return on_policy.experiment(
    settings, title='PPO by reading, penalty and rate', stages=stages
  )
