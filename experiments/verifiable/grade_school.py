r"""Claim: a program that checks answers teaches maths beyond worked solutions.

SFT on the solutions of word problems, then GRPO on their questions, rewarded
where the last number is right and by nothing else (Shao et al. 2024, on the
problems of Cobbe et al. 2021). Holds if the 95 % interval of GRPO's win rate
over SFT lies above 0.5, a win being right where the other is wrong. The gold
reward is the share of held-out problems solved, one answer at temperature 1.

The problems are JSONL files in `data_dir`, a problem a line, as GSM8K's are:
{"question": "Ana has 3 bags of 4 apples. How many?",
 "answer": "3 * 4 = 12\n#### 12"}
`answer` is a worked solution, then #### and the answer. "id" and "subset" may
be there too; results are broken down by subset. Nothing is downloaded.
Run: python -m launch.train experiments/verifiable/grade_school.py \
  --set data_dir=FOLDER --set file=train.jsonl --set test_file=test.jsonl
"""

import dataclasses

from rlhf_jax.data import limits, readers
from rlhf_jax.data.problems import Problems
from rlhf_jax.data.sources import Files
from rlhf_jax.experiment import Evaluation, Experiment, Limits
from rlhf_jax.generation import verifying
from rlhf_jax.methods import grpo, sft
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data_dir: folder of the files.
    file: the problems to train on.
    test_file: the problems to test on; where '', a tenth of `file` is held out.
    seed: of everything random.
    vocab_size: of the byte-level tokenizer trained on the problems.
    sft_steps: updates on 32 solutions; a few passes over the file. A policy
      that knows them by heart solves every training problem in every sample,
      and GRPO, which compares samples, learns nothing more from them.
    grpo_steps: rounds of answering and learning.
    prompts, samples: questions a GRPO step, and responses to each.
    test_problems: how many held-out problems are answered.
    max_prompt_tokens, max_response_tokens: longer questions are left out,
      longer solutions cut.
  """

  data_dir: str = 'data'
  file: str = 'train.jsonl'
  test_file: str = ''
  seed: Seed = 0
  vocab_size: Count = 2048
  sft_steps: Count = 1000
  grpo_steps: Count = 100
  prompts: Count = 16
  samples: Count = 8
  test_problems: Count = 256
  max_prompt_tokens: Count = 192
  max_response_tokens: Count = 192


def config(settings: Settings) -> Experiment:
  def problems(name):
    return Files((name,), readers.problems)

  stages = sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=32,
      optimizer=Adam(learning_rate=1e-3, decay=linear),
    )
  )
  stages |= grpo.stages(
    grpo.Config(
      steps=settings.grpo_steps,
      batch_size=settings.prompts,
      samples=settings.samples,
      optimizer=Adam(learning_rate=1e-4),
    ),
    reward=verifying.number,
  )
  return Experiment(
    title='Grade-school maths with a checked answer',
    seed=settings.seed,
    data=Problems(
      settings.data_dir,
      problems(settings.file),
      test=problems(settings.test_file) if settings.test_file else None,
      vocab_size=settings.vocab_size,
      gold=verifying.number,
    ),
    model=presets.small_text(settings.vocab_size),
    limits=Limits(
      max_prompt_tokens=settings.max_prompt_tokens,
      max_response_tokens=settings.max_response_tokens,
      overlong=limits.drop,
      buckets=(64, 128, 256),
    ),
    stages=stages,
    evaluation=Evaluation(
      count=settings.test_problems, samples=1, batch_size=64
    ),
    contrasts={'a checked answer beats solutions alone': ('grpo', 'sft')},
  )
