"""The RLHF chain on real text: instructions, then HH preferences, then PPO.

Anthropic's helpful and harmless pairs (Bai et al. 2022) teach the reward model;
its accuracy on held-out pairs stands beside that of taking the longer answer. A
transformer of a few million parameters from scratch is far too small to be
helpful: this shows that the chain runs on text, not that it aligns.
Run: python -m launch.train experiments/rlhf/hh.py --set data_dir=../shared/data

On your own files, of any format of `rlhf_jax.data.formats`:
python -m launch.train experiments/rlhf/hh.py --set data_dir=DIR --set
comparisons=pairs.jsonl --set demonstrations=chats.json
A format is named by --set data.comparisons.read=rlhf_jax.data.formats.HH_RLHF.
"""

import dataclasses

from rlhf_jax.data import formats, limits
from rlhf_jax.data.files import own_files
from rlhf_jax.data.sources import HH_CHOSEN, HH_PAIRS, INSTRUCTIONS, HhRlhf
from rlhf_jax.experiment import Evaluation, Experiment, Limits
from rlhf_jax.methods import ppo, reward_model, sft
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data_dir: folder of the JSONL files.
    seed: of everything random.
    hh_demonstrations: imitate HH's chosen answers in place of instructions.
    comparisons: your own files in data_dir, commas between them, in place of
      HH's. Without `demonstrations`, their best answers are imitated.
    demonstrations: your own files to imitate, likewise.
    comparison_columns, demonstration_columns: what your files call the fields
      of their format, as in 'prompt=question,chosen=good,rejected=bad'.
    vocab_size: of the byte-level tokenizer trained on the text.
    sft_steps, reward_steps, ppo_steps: updates of each stage.
    max_prompt_tokens, max_response_tokens: longer dialogues lose their oldest
      turns, longer responses their end.
  """

  data_dir: str = '../shared/data'
  seed: Seed = 0
  hh_demonstrations: bool = False
  comparisons: str = ''
  demonstrations: str = ''
  comparison_columns: str = ''
  demonstration_columns: str = ''
  vocab_size: Count = 2048
  sft_steps: Count = 120
  reward_steps: Count = 60
  ppo_steps: Count = 10
  max_prompt_tokens: Count = 64
  max_response_tokens: Count = 48


def data(settings: Settings) -> HhRlhf:
  """HH's files, or those that the settings name."""
  compared = (settings.comparisons, settings.comparison_columns)
  told = (settings.demonstrations, settings.demonstration_columns)
  comparisons, demonstrations = HH_PAIRS, INSTRUCTIONS
  if settings.hh_demonstrations:
    demonstrations = HH_CHOSEN
  if settings.comparisons:
    comparisons = own_files(*compared, read=formats.comparisons)
    demonstrations = own_files(*compared, read=formats.demonstrations)
  if settings.demonstrations:
    demonstrations = own_files(*told, read=formats.demonstrations)
  return HhRlhf(
    settings.data_dir,
    comparisons=comparisons,
    demonstrations=demonstrations,
    vocab_size=settings.vocab_size,
  )


def config(settings: Settings) -> Experiment:
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
    data=data(settings),
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
