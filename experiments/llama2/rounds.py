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

from experiments import sandbox_chain, sandbox_rl
from experiments.sandbox_chain import Stages
from experiments.sandbox_choosing import rejection_rounds
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods.rejection_sampling import newest

Settings = sandbox_chain.Settings
# The first round's, which all arms share, then those of rounds 2 and 3: a
# sharper policy is sampled at a higher temperature.
FIRST, *LATER = 1.0, 1.1, 1.2


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= rejection_rounds(settings, [FIRST], name='round')
  shared = {'earlier': ['round_1_bag'], 'policy': 'round_1'}
  stages |= rejection_rounds(settings, LATER, name='archive', **shared)
  stages |= rejection_rounds(
    settings, LATER, kept=newest, name='newest', **shared
  )
  stages |= fresh_rounds(settings)
  stages |= sandbox_rl.tuned_ppo_stages(settings)
  stages |= sandbox_rl.tuned_ppo_stages(
    settings, start='archive_3', name='ppo_on_top'
  )
  return sandbox_chain.experiment(
    settings,
    title='Rounds of rejection sampling, then PPO',
    stages=stages,
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


def fresh_rounds(settings: Settings) -> Stages:
  """Rounds 2 and 3, each with a quarter more annotations, of the newest."""
  stages = {}
  policy, bags, annotations = 'round_1', ['round_1_bag'], ['preferences']
  more = max(32, settings.pairs // 4)
  for number, temperature in enumerate(LATER, 2):
    annotations.append(f'preferences_{number}')
    reward = f'reward_model_{number}'
    stages |= sandbox_chain.preference_stages(
      settings, count=more, policy=policy, name=annotations[-1]
    )
    stages |= sandbox_chain.reward_stages(
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
      name='fresh',
    )
    policy = f'fresh_{number}'
    bags.append(f'{policy}_bag')
  return stages
