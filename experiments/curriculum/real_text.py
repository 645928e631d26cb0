"""Claim: pairs of strong over weak models train DPO on real text, easy first.

GPT-4's, ChatGPT's and InstructGPT's outputs to the same instructions: SFT on
GPT-4's, then DPO from far pairs to near ones, which no annotator compared (Xu
et al. 2024, arXiv 2310.02263). A transformer of a few million parameters from
scratch writes no sense, and nobody judges it: this shows that the chain runs on
text, and how its margins and log-probs move.
Run: python -m launch.train experiments/curriculum/real_text.py
"""

import dataclasses
import functools

from rlhf_jax.data import curriculum as curricula
from rlhf_jax.data import limits
from rlhf_jax.data.curriculum import Curriculum
from rlhf_jax.data.sources import Tiers
from rlhf_jax.experiment import Evaluation, Experiment, Limits
from rlhf_jax.methods import curriculum, dpo, sft
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
    vocab_size: of the byte-level tokenizer trained on the text.
    sft_steps, dpo_steps: updates of each stage.
  """

  data_dir: str = '../shared/data'
  seed: Seed = 0
  vocab_size: Count = 2048
  sft_steps: Count = 60
  dpo_steps: Count = 40


def config(settings: Settings) -> Experiment:
  stages = sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=32,
      optimizer=Adam(learning_rate=1e-3, decay=linear),
    )
  )
  stages |= curriculum.stages(curriculum.Config(pairs=((0, 1), (1, 2), (0, 2))))
  stages |= dpo.stages(
    dpo.Config(
      steps=settings.dpo_steps,
      batch_size=16,
      optimizer=Adam(learning_rate=1e-4, decay=linear),
    ),
    data='tier_pairs',
    curriculum=Curriculum(
      level=functools.partial(curricula.by_gap, edges=(2.0,)),
      mix=curricula.easy_to_hard,
    ),
  )
  return Experiment(
    title='Pairs of models of known strength',
    seed=settings.seed,
    data=Tiers(settings.data_dir, vocab_size=settings.vocab_size),
    model=presets.small_text(settings.vocab_size),
    limits=Limits(
      max_prompt_tokens=64,
      max_response_tokens=64,
      overlong=limits.keep_end,
    ),
    stages=stages,
    evaluation=Evaluation(count=32, samples=1, batch_size=32),
  )
