"""Claim: DPO's relatives do as well without a reference, or without pairs.

On the same annotated pairs: IPO; ORPO, SimPO and CPO, which keep no reference
(Hong et al. 2024; Meng et al. 2024, SimPO above DPO; Xu et al. 2024,
CPO); KTO and BCO, which take each response by itself (Ethayarajh et al. 2024,
KTO no worse than DPO; Jung et al. 2024). All have DPO's own learning rate,
none another's tuning. Holds for each that is not below DPO.
Run: python -m launch.seeds experiments/dpo/relatives.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_chain import DPO_RATE, tuned
from rlhf_jax.experiment import Experiment
from rlhf_jax.losses import pairwise, unpaired
from rlhf_jax.methods import cpo, dpo, kto, orpo, simpo

Settings = sandbox_chain.Settings
# name: method, objective.
ARMS = {
  'ipo': (dpo, functools.partial(pairwise.ipo_mean, beta=1.0)),
  'orpo': (orpo, functools.partial(pairwise.orpo, beta=1.0)),
  'simpo': (simpo, functools.partial(pairwise.simpo, beta=2.0, gamma=1.0)),
  'cpo': (
    cpo,
    functools.partial(pairwise.cpo, beta=0.1, likelihood_coef=0.1),
  ),
  'kto': (kto, functools.partial(unpaired.kto, beta=0.1)),
  'bco': (kto, functools.partial(unpaired.bco, beta=0.1)),
}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_chain.dpo_stages(settings)
  for name, (method, objective) in ARMS.items():
    stages |= method.stages(
      method.Config(objective=objective, **tuned(settings, DPO_RATE)), name=name
    )
  return sandbox_chain.experiment(
    settings,
    title="DPO's relatives",
    stages=stages,
    contrasts={f'{name} beats DPO': (name, 'dpo') for name in ARMS},
  )
