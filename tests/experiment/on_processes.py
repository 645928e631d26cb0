"""A small chain for several processes: each kind of stage once, and a report.

Its mesh has two devices, whatever the number of processes.
"""

import dataclasses

from experiments import sandbox_chain
from experiments.sandbox_chain import feedback, pairs, rlp
from rlhf_jax import sandbox
from rlhf_jax.experiment import Experiment
from rlhf_jax.types.values import checked
from tests.experiment.small import MODEL

WORLD = sandbox.World(demonstrations=32, comparisons=32)
MESH = {'data': 2, 'fsdp': 1, 'tensor': 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox_chain.Settings):
  """As of the sandbox's."""

  sft_steps: int = 6
  pairs: int = 32
  ppo_steps: int = 4


def config(settings: Settings) -> Experiment:
  stages = (
    feedback.feedback_stages(settings)
    | rlp.learn_stages(settings)
    | pairs.dpo_stages(settings, steps=4)
  )
  return experiment(settings, 'On several processes', stages)


def experiment(
  settings: Settings, title: str, stages: sandbox_chain.Stages
) -> Experiment:
  """A tiny model's, with little to learn from and little to measure."""
  stages = {name: small(stage) for name, stage in stages.items()}
  made = sandbox_chain.experiment(settings, title=title, stages=stages)
  few = dataclasses.replace(made.evaluation, count=8, held_out=8, batch_size=8)
  return dataclasses.replace(
    made, data=WORLD, model=MODEL, mesh=MESH, evaluation=few
  )


def small(stage):
  """The stage with small batches, each step written down and saved."""
  changed = dataclasses.replace(stage.config, batch_size=8)
  stage = stage._replace(config=changed)
  if hasattr(stage, 'log_every'):
    stage = stage._replace(log_every=1, checkpoint_every=1)
  return stage
