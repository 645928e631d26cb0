r"""Claims: attributes help, predicted ones more; they steer; own samples add.

Dong et al. 2023 (SteerLM). `steerlm` learns from responses that people rated
and from others, with ratings that a language model wrote; `steerlm_rated`,
`_regressed` and `_people` from the first alone, with its ratings, a
regression's and people's; `sft_more` and `sft_rated` from the same without
ratings. `steerlm_bootstrapped` goes on with own responses, `steerlm_again` with
the old. All are asked for the best attributes, and `steerlm` for others too, as
in `verbosity_0`. Holds if the contrasts' intervals are above one half.
Run: python -m launch.seeds experiments/steerlm/steering.py --seeds 0 1 2
To see whether it obeys: python -m experiments.readings.steerlm_obedience 0 1 2
To ask for other attributes:
python -m launch.generate experiments/steerlm/steering.py --policy steerlm \
  --set attributes.verbosity=0 --prompt 'what is 6 plus 2 ? full'
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import attributes
from rlhf_jax.experiment import Experiment

Settings = attributes.Settings
CONTRASTS = {
  'attributes help': ('steerlm', 'sft_more'),
  "predicted ratings beat people's": ('steerlm_rated', 'steerlm_people'),
  'ratings written as text beat regression': (
    'steerlm_rated',
    'steerlm_regressed',
  ),
  "people's ratings help": ('steerlm_people', 'sft_rated'),
  'unrated responses help': ('steerlm', 'steerlm_rated'),
  'bootstrapping helps': ('steerlm_bootstrapped', 'steerlm'),
  'bootstrapping beats more of the same': (
    'steerlm_bootstrapped',
    'steerlm_again',
  ),
  'SteerLM beats PPO': ('steerlm', 'ppo'),
} | {
  f'asking for {name} beats asking for none': (f'{name}_4', f'{name}_0')
  for name in attributes.QUALITY
}


def config(settings: Settings) -> Experiment:
  steered = attributes.arms(settings)
  names = [name for name in steered if name.startswith('steerlm')]
  return sandbox_chain.experiment(
    settings,
    title='Steering by attributes',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.tuned_ppo_stages(settings)
    | attributes.rater_stages(settings)
    | attributes.annotation_stages()
    | attributes.plain_arms(settings)
    | steered,
    variants={n: attributes.asking(n, settings.attributes) for n in names}
    | attributes.requests(),
    addition=sandbox_chain.CONDITIONS,
    contrasts=CONTRASTS,
  )
