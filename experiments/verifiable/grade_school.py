r"""Claim: a program that checks answers teaches maths beyond worked solutions.

SFT on the solutions of word problems, then GRPO on their questions, rewarded
where the last number is right and by nothing else (Shao et al. 2024, on the
problems of Cobbe et al. 2021). Holds if the 95 % interval of GRPO's win rate
over SFT lies above 0.5, a win being right where the other is wrong. The gold
reward is the share of held-out problems solved, one answer at temperature 1.
The files are as `text_chain/problem_files.py` says; nothing is downloaded.
Run: python -m launch.train experiments/verifiable/grade_school.py \
  --set data_dir=FOLDER --set file=train.jsonl --set test_file=test.jsonl
"""

import dataclasses

from experiments import text_chain
from experiments.text_chain import problem_files
from rlhf_jax.data.limits import drop
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.feedback import verifying
from rlhf_jax.methods import grpo
from rlhf_jax.training.optimizers import Adam
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(problem_files.Settings):
  """Also: rounds of GRPO, prompts of each, samples of each prompt, tests."""

  # A few passes over the file: a policy that knows it by heart solves all of it
  # in every sample, and GRPO, which compares samples, has nothing to learn.
  sft_steps: Count = 1000
  grpo_steps: Count = 100
  prompts: Count = 16
  samples: Count = 8
  test_problems: Count = 256


def config(settings: Settings) -> Experiment:
  checked_answers = grpo.Config(
    steps=settings.grpo_steps,
    batch_size=settings.prompts,
    samples=settings.samples,
    optimizer=Adam(learning_rate=1e-4),
  )
  return text_chain.experiment(
    settings,
    title='Grade-school maths with a checked answer',
    data=problem_files.source(settings),
    stages=text_chain.sft_stages(settings)
    | grpo.stages(checked_answers, reward=verifying.number),
    evaluation=Evaluation(
      count=settings.test_problems, samples=1, batch_size=64
    ),
    contrasts={'a checked answer beats solutions alone': ('grpo', 'sft')},
    overlong=drop,
    buckets=(64, 128, 256),
  )
