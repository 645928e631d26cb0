"""Learning from the best of own samples in the sandbox."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.sandbox_chain import Settings, Stages, tuned
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import best_of_n, raft, rejection_sampling, sft
from rlhf_jax.training.optimizers import Adam, linear

# Of learning from chosen samples: RRHF's, whose grid had its SFT term too.
CHOSEN_RATE = 1e-3
# RAFT's: of 1e-4, 3e-4, 1e-3 and 3e-3, as the rates of sandbox_rl.
RAFT_RATE = 3e-4


def expert_stages(
  settings: Settings, *, samples: int = 16, name: str = 'expert_iteration'
) -> Stages:
  """'best_of_n', {name}: SFT goes on, on the best of its own samples."""
  config = sft.Config(**tuned(settings, CHOSEN_RATE))
  return best_of_n.stages(best_of_n.Config(samples=samples)) | sft.stages(
    config, data='best_of_n', start='sft', name=name
  )


def raft_stages(
  settings: Settings,
  *,
  stages: int | None = None,
  select: Callable[..., Any] = raft.local,
  kl_coef: float = 0.0,
  name: str = 'raft',
) -> Stages:
  """{name}: 8 responses to 128 prompts a stage, with eight steps.

  Args:
    settings: of the chain.
    stages: so that there are as many responses as PPO's where None.
    select: which responses of a stage are kept.
    kl_coef: of the KL in what ranks them.
    name: of the stage.
  """
  config = raft.Config(
    steps=stages or max(1, settings.ppo_steps // 8),
    batch_size=128,
    samples=8,
    temperature=1.0,
    select=select,
    kl_coef=kl_coef,
    epochs=2,
    minibatches=4,
    optimizer=Adam(learning_rate=RAFT_RATE, decay=linear),
  )
  return raft.stages(config, name=name)


def rejection_rounds(
  settings: Settings,
  temperatures: Sequence[float],
  *,
  kept: Callable[[Sequence[str]], Sequence[str]] = rejection_sampling.archive,
  asks: Callable[..., bool] = rejection_sampling.every,
  earlier: Sequence[str] = (),
  policy: str = 'sft',
  reward: str = 'reward_model',
  name: str = 'rejection_sampling',
) -> Stages:
  """{name}_1, …: 8 responses to every prompt that is asked, from SFT each time.

  Args:
    settings: of the chain.
    temperatures: of each round's sampling.
    kept, earlier, policy, reward, name: as of `rejection_sampling.rounds`.
    asks: which prompts these rounds ask.
  """
  bags = [
    rejection_sampling.Bag(asks=asks, sampling=Sampling(temperature=t))
    for t in temperatures
  ]
  return rejection_sampling.rounds(
    rejection_sampling.Config(**tuned(settings, CHOSEN_RATE)),
    bags,
    selection=rejection_sampling.Selection(top=2),
    kept=kept,
    earlier=earlier,
    policy=policy,
    reward=reward,
    name=name,
  )
