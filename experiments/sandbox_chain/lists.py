"""Learning from ranked lists in the sandbox: RRHF and PRO, from SFT."""

import functools
from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from experiments.sandbox_chain.pairs import tuned
from rlhf_jax.losses import listwise
from rlhf_jax.losses.objective import Objective
from rlhf_jax.methods import candidates, pro, rrhf

# From the grid that DPO's is from.
RRHF_RATE = 1e-3
PRO_RATE = 1e-3

RRHF = functools.partial(listwise.rrhf, rank_coef=1.0)


def candidate_stages(
  settings: Settings, *, samples: int = 4, **placed: Any
) -> Stages:
  """{'candidates'}: SFT's samples to each prompt, ranked by the reward model.

  With no samples and no policy, the data's own responses are ranked.
  """
  del settings
  return candidates.stages(candidates.Config(samples=samples), **placed)


def rrhf_stages(
  settings: Settings, *, objective: Objective = RRHF, **placed: Any
) -> Stages:
  """{'rrhf'}: on ranked candidates, 32 prompts a step."""
  config = rrhf.Config(
    objective=objective, **tuned(settings, RRHF_RATE, batch_size=32)
  )
  return rrhf.stages(config, **placed)


def pro_stages(settings: Settings, **placed: Any) -> Stages:
  """{'pro'}: on ranked candidates, 32 prompts a step."""
  config = pro.Config(**tuned(settings, PRO_RATE, batch_size=32))
  return pro.stages(config, **placed)
