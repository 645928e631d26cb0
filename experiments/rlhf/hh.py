"""The RLHF chain on real text: instructions, then HH preferences, then PPO.

Anthropic's helpful and harmless pairs (Bai et al. 2022) teach the reward model;
its accuracy on held-out pairs stands beside that of taking the longer answer.
This shows that the chain runs on text, not that it aligns.
Run: python -m launch.train experiments/rlhf/hh.py --set data_dir=DIR

On your own files, of any format of `rlhf_jax.data.formats`:
python -m launch.train experiments/rlhf/hh.py --set data_dir=DIR --set
comparisons=pairs.jsonl --set demonstrations=chats.json
A format is named by --set data.comparisons.read=rlhf_jax.data.formats.HH_RLHF.
"""

import dataclasses

from experiments import text_chain
from experiments.text_chain import hh_files
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods import ppo, reward_model
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(hh_files.Settings):
  """Also: updates of the reward model, 16 pairs each, and rounds of PPO."""

  reward_steps: Count = 60
  ppo_steps: Count = 10


def config(settings: Settings) -> Experiment:
  reward = reward_model.Config(
    steps=settings.reward_steps,
    batch_size=16,
    centering=0.01,
    optimizer=Adam(learning_rate=3e-4, decay=linear),
  )
  policy = ppo.Config(
    steps=settings.ppo_steps,
    batch_size=32,
    kl_coef=0.05,
    # Most responses are longer than the limit, in the data too.
    unended_penalty=0.0,
    optimizer=Adam(learning_rate=1e-4),
  )
  return text_chain.experiment(
    settings,
    title='RLHF on real text',
    data=hh_files.source(settings),
    stages=text_chain.sft_stages(settings)
    | reward_model.stages(reward, data='comparisons')
    | ppo.stages(policy),
    evaluation=Evaluation(
      comparisons='test_comparisons', count=64, samples=1, batch_size=32
    ),
  )
