"""The RLHF chain on real text: instructions, then HH preferences, then PPO.

Anthropic's helpful and harmless pairs (Bai et al. 2022) teach the reward model;
its accuracy on held-out pairs stands beside that of taking the longer answer. A
transformer of a few million parameters from scratch is far too small to be
helpful: this shows that the chain runs on text, not that it aligns.
Run: python -m launch.train experiments/rlhf/hh.py --set data_dir=../shared/data
"""

import dataclasses

from rlhf_jax.data import limits
from rlhf_jax.data.sources import HH_CHOSEN, INSTRUCTIONS, HhRlhf
from rlhf_jax.experiment import Evaluation, Experiment, Limits
from rlhf_jax.methods import ppo, reward_model, sft
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What is set most often.

  Attributes:
    data_dir: folder of the JSONL files.
    seed: of everything random.
    hh_demonstrations: imitate HH's chosen answers in place of instructions.
    vocab_size: of the byte-level tokenizer trained on the text.
    sft_steps, reward_steps, ppo_steps: updates of each stage.
    max_prompt_tokens, max_response_tokens: longer dialogues lose their oldest
      turns, longer responses their end.
  """

  data_dir: str = '../shared/data'
  seed: int = 0
  hh_demonstrations: bool = False
  vocab_size: int = 2048
  sft_steps: int = 120
  reward_steps: int = 60
  ppo_steps: int = 10
  max_prompt_tokens: int = 64
  max_response_tokens: int = 48


def config(settings: Settings) -> Experiment:
  demonstrations = HH_CHOSEN if settings.hh_demonstrations else INSTRUCTIONS
  optimizer = Adam(learning_rate=1e-3, decay=linear)
  stages = sft.stages(
    sft.Config(steps=settings.sft_steps, batch_size=32, optimizer=optimizer)
  )
  stages |= reward_model.stages(
    reward_model.Config(
      steps=settings.reward_steps,
      batch_size=16,
      centering=0.01,
      optimizer=Adam(learning_rate=3e-4, decay=linear),
    ),
    data='comparisons',
  )
  stages |= ppo.stages(
    ppo.Config(
      steps=settings.ppo_steps,
      batch_size=32,
      kl_coef=0.05,
      # Most responses are longer than the limit, in the data too.
      unended_penalty=0.0,
      optimizer=Adam(learning_rate=1e-4),
    )
  )
  return Experiment(
    title='RLHF on real text',
    seed=settings.seed,
    data=HhRlhf(
      settings.data_dir,
      demonstrations=demonstrations,
      vocab_size=settings.vocab_size,
    ),
    model=presets.small_text(settings.vocab_size),
    limits=Limits(
      max_prompt_tokens=settings.max_prompt_tokens,
      max_response_tokens=settings.max_response_tokens,
      overlong=limits.keep_end,
    ),
    stages=stages,
    evaluation=Evaluation(
      comparisons='test_comparisons', count=64, samples=1, batch_size=32
    ),
  )
