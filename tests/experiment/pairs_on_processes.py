"""SFT, and DPO on pairs that there are, for several processes."""

import functools

from rlhf_jax.experiment import Experiment
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import dpo, sft
from tests.experiment import on_processes

Settings = on_processes.Settings


def config(settings: Settings) -> Experiment:
  objective = functools.partial(pairwise.dpo, beta=0.1)
  stages = sft.stages(sft.Config(steps=3)) | dpo.stages(
    dpo.Config(steps=4, objective=objective), data='comparisons'
  )
  return on_processes.experiment(settings, 'Pairs on processes', stages)
