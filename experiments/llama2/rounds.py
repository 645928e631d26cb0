"""Claim: rounds of rejection sampling improve, and PPO on top adds more.

Three rounds, each choosing the best of eight samples of the policy before it
and training from SFT anew: from the archive of all bags, from the newest bag
alone, and from the archive with a reward model that is trained again each
round, on fresh annotations of the newest policy too. Then PPO from the last
round, beside PPO from SFT (Touvron et al. 2023, §3.2.3). Holds if each round of
the archive beats the one before, the archive the newest bag, and PPO on top
both.
Run: python -m launch.seeds experiments/llama2/rounds.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import choosing
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods.rejection_sampling import newest

Settings = sandbox_chain.Settings
# The first round's, which all arms share, then those of rounds 2 and 3: a
# sharper policy is sampled at a higher temperature.
FIRST, *LATER = 1.0, 1.1, 1.2


def config(settings: Settings) -> Experiment:
  rounds, ppo = choosing.rejection_rounds, sandbox_chain.tuned_ppo_stages
  later = {'earlier': ['round_1_bag'], 'policy': 'round_1'}
  return sandbox_chain.experiment(
    settings,
    title='Rounds of rejection sampling, then PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | rounds(settings, [FIRST], name='round')
    | rounds(settings, LATER, name='archive', **later)
    | rounds(settings, LATER, name='newest', kept=newest, **later)
    | choosing.annotated_rounds(settings, LATER, first='round_1', name='fresh')
    | ppo(settings)
    | ppo(settings, start='archive_3', name='ppo_on_top'),
    contrasts={
      'round 1 beats SFT': ('round_1', 'sft'),
      'round 2 beats round 1': ('archive_2', 'round_1'),
      'round 3 beats round 2': ('archive_3', 'archive_2'),
      'the archive beats the newest bag': ('archive_3', 'newest_3'),
      'more and fresh annotations beat the first': ('fresh_3', 'archive_3'),
      'PPO on top beats rejection sampling': ('ppo_on_top', 'archive_3'),
      'PPO on top beats PPO from SFT': ('ppo_on_top', 'ppo'),
    },
  )
