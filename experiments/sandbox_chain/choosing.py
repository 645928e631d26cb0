"""Learning from the best of own samples in the sandbox."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.sandbox_chain import feedback
from experiments.sandbox_chain.chain import Settings, Stages
from experiments.sandbox_chain.pairs import tuned
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import best_of_n, raft, rejection_sampling, sft
from rlhf_jax.training.optimizers import Adam, linear

# Of learning from chosen samples: RRHF's, whose grid had its SFT term too.
CHOSEN_RATE = 1e-3
# RAFT's: of 1e-4, 3e-4, 1e-3 and 3e-3, as the rates of `rl`.
RAFT_RATE = 3e-4


def expert_stages(settings: Settings) -> Stages:
  """'best_of_n', 'expert_iteration': SFT goes on, on the best of 16 samples."""
  config = sft.Config(**tuned(settings, CHOSEN_RATE))
  return best_of_n.stages(best_of_n.Config(samples=16)) | sft.stages(
    config, data='best_of_n', start='sft', name='expert_iteration'
  )


def raft_stages(
  settings: Settings,
  *,
  times: int = 1,
  select: Callable[..., Any] = raft.local,
  **placed: Any,
) -> Stages:
  """{'raft'}: 8 responses to 128 prompts a stage, with eight steps.

  Args:
    settings: of the chain.
    times: PPO's number of responses.
    select: which responses of a stage are kept.
    placed: as of any stage.
  """
  config = raft.Config(
    steps=times * max(1, settings.ppo_steps // 8),
    batch_size=128,
    samples=8,
    temperature=1.0,
    select=select,
    epochs=2,
    minibatches=4,
    optimizer=Adam(learning_rate=RAFT_RATE, decay=linear),
  )
  return raft.stages(config, **placed)


def rejection_rounds(
  settings: Settings, temperatures: Sequence[float], **rounds: Any
) -> Stages:
  """{name}_1, …: 8 responses to every prompt, from SFT each time.

  Args:
    settings: of the chain.
    temperatures: of each round's sampling.
    rounds: as of `rejection_sampling.rounds`.
  """
  return rejection_sampling.rounds(
    rejection_sampling.Config(**tuned(settings, CHOSEN_RATE)),
    [
      rejection_sampling.Bag(sampling=Sampling(temperature=temperature))
      for temperature in temperatures
    ],
    selection=rejection_sampling.Selection(top=2),
    **rounds,
  )


def annotated_rounds(
  settings: Settings, temperatures: Sequence[float], *, first: str, name: str
) -> Stages:
  """{name}_2, …: rounds after `first`, each with a reward model of its own.

  It is trained on a quarter more annotations each time, of the newest policy.
  """
  stages: dict[str, Any] = {}
  policy, bags, annotations = first, [f'{first}_bag'], ['preferences']
  more = max(32, settings.pairs // 4)
  for number, temperature in enumerate(temperatures, 2):
    annotations.append(f'preferences_{number}')
    reward = f'reward_model_{number}'
    stages |= feedback.preference_stages(
      settings, count=more, policy=policy, name=annotations[-1]
    )
    stages |= feedback.reward_stages(
      settings,
      data=tuple(annotations),
      pairs=settings.pairs + more * (number - 1),
      name=reward,
    )
    stages |= rejection_rounds(
      settings,
      [temperature],
      earlier=bags,
      policy=policy,
      reward=reward,
      name=name,
    )
    policy = f'{name}_{number}'
    bags.append(f'{policy}_bag')
  return stages
