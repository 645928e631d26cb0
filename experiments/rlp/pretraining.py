"""Claim: pretrained on what is right, a head learns what its pairs say.

Of the same 4096 annotated pairs, two passes: a head on SFT from nothing
(imitated), as other experiments have it, and on SFT after pretraining on
demonstrations and on verdicts, answers that are followed by right or wrong.
Holds if the latter's reward model is right on 0.75 or more of SFT's pairs and
on 0.65 or more of minimal ones, which differ in nothing but the answer. Beside
it a head on the mean over tokens.
Run: python -m launch.seeds experiments/rlp/pretraining.py --seeds 23 24 25
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import feedback, on_policy
from rlhf_jax.experiment import Experiment
from rlhf_jax.models import mean_of_tokens

Settings = on_policy.Settings
IMITATED_STEPS = 800  # As other experiments have it.


def config(settings: Settings) -> Experiment:
  imitated = (
    feedback.sft_stages(settings, steps=IMITATED_STEPS, name='imitated')
    | feedback.preference_stages(
      settings, policy='imitated', name='imitated_preferences'
    )
    | feedback.reward_stages(
      settings,
      start='imitated',
      data='imitated_preferences',
      name='reward_of_imitated',
    )
  )
  of_mean = on_policy.reward_stages(
    settings, reading=mean_of_tokens, name='reward_model_mean'
  )
  stages = on_policy.feedback_stages(settings) | of_mean | imitated
  return on_policy.experiment(
    settings,
    title='Pretraining on what is right',
    stages=stages,
    scored_by='reward_model',
    measures=sandbox_chain.reward_measures(stages),
    contrasts={'pretraining makes better policies': ('sft', 'imitated')},
  )
