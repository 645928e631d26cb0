"""Claim: a reward retrained on the policy's samples gives a better policy.

RLP whole: SFT, preferences, reward model, PPO, ten samples of PPO's policy to
each prompt, then the reward model again, with two views of each prompt beside
(RLP-UML) and with preferences made of what the samples agree on (RLP-SPG), and
PPO again from each (Lang et al. 2024, table 2). Holds if each wins more than
half against PPO, judged by gold.
Run: python -m launch.train experiments/rlp/sandbox.py --set seed=1
"""

from experiments import sandbox_chain, sandbox_rlp
from rlhf_jax.experiment import Answering, Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  retrained = {
    'rlp_uml': sandbox_rlp.uml_stages(settings, name='reward_model_uml'),
    'rlp_spg': sandbox_rlp.spg_stages(settings, name='reward_model_spg'),
  }
  return sandbox_chain.experiment(
    settings,
    title='RLP in the sandbox',
    stages=sandbox_rlp.base_stages(settings)
    | sandbox_rlp.arms(settings, retrained),
    scored_by='reward_model',
    answering={'best_of_n': Answering(policy='sft', best_of=16)},
    contrasts={
      'RLP-UML beats PPO': ('rlp_uml', 'ppo'),
      'RLP-SPG beats PPO': ('rlp_spg', 'ppo'),
      'RLP-SPG beats best of n': ('rlp_spg', 'best_of_n'),
    },
  )
