"""RLP with both retrainings, small, for several processes."""

import dataclasses

from experiments.sandbox_chain import rlp
from rlhf_jax.experiment import Experiment
from tests.experiment import on_processes

Settings = on_processes.Settings


def config(settings: Settings) -> Experiment:
  retrained = {
    'rlp_uml': rlp.uml_stages(
      settings, steps=2, extra_batch_size=8, name='reward_model_uml'
    ),
    # So small a policy agrees with itself on nothing.
    'rlp_spg': rlp.spg_stages(settings, gamma=0.0, name='reward_model_spg'),
  }
  stages = rlp.sampled_stages(settings)
  drawn = stages['policy_samples']
  few = dataclasses.replace(drawn.config, count=32, samples=4)
  stages |= {'policy_samples': drawn._replace(config=few)}
  stages |= rlp.arms(settings, retrained)
  return on_processes.experiment(settings, 'RLP on several processes', stages)
