"""Learning from pairs in the sandbox: DPO and SLiC, from SFT."""

import functools
from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import dpo, slic
from rlhf_jax.training.optimizers import Adam, Schedule, linear

# Rates and SLiC's anchor are from a coarse grid by the measure `validation` of
# seed 100: the highest win rate, and of two that cannot be told apart the one
# with less KL.
DPO_RATE = 3e-4
SLIC_RATE = 3e-4


def tuned(
  settings: Settings,
  learning_rate: float,
  *,
  batch_size: int = 64,
  steps: int | None = None,
  decay: Schedule = linear,
) -> dict[str, Any]:
  """Config values that all methods on pairs or lists share.

  As many steps as go twice over the preferences, 64 at a time, or `steps`.
  """
  return {
    'steps': steps or 2 * settings.pairs // 64,
    'batch_size': batch_size,
    'optimizer': Adam(learning_rate=learning_rate, decay=decay),
  }


def dpo_stages(
  settings: Settings,
  *,
  beta: float = 0.1,
  learning_rate: float = DPO_RATE,
  steps: int | None = None,
  batch_size: int = 64,
  decay: Schedule = linear,
  **placed: Any,
) -> Stages:
  """{'dpo'}: on the preferences."""
  config = dpo.Config(
    objective=functools.partial(pairwise.dpo, beta=beta),
    **tuned(
      settings,
      learning_rate,
      steps=steps,
      batch_size=batch_size,
      decay=decay,
    ),
  )
  return dpo.stages(config, **placed)


def slic_stages(
  settings: Settings,
  *,
  likelihood_coef: float = 1.0,
  data: str = 'preferences',
  **placed: Any,
) -> Stages:
  """{'slic'}: on the preferences."""
  config = slic.Config(
    objective=functools.partial(
      pairwise.slic, margin=1.0, likelihood_coef=likelihood_coef
    ),
    **tuned(settings, SLIC_RATE),
  )
  return slic.stages(config, data=data, **placed)
