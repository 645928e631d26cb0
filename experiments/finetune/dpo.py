"""DPO on your own preferences: SFT on the preferred answers, then DPO from it.

A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`; a prompt is text, or turns. A tenth of
the prompts is held out, and both policies answer these.
Run: python -m launch.train experiments/finetune/dpo.py --set data_dir=DIR
Your file: --set comparisons=mine.jsonl; a size: --set model.layers=6; a judge,
a function of prompts and responses: --set judge=my_judge.score
"""

import dataclasses

from experiments import text_chain
from rlhf_jax.data import formats
from rlhf_jax.data.files import own_files
from rlhf_jax.data.sources import Feedback
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods import dpo
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types import Reward
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(text_chain.Settings):
  """Also: your file, what it calls its fields (prompt=question), who judges."""

  data_dir: str = '.'
  comparisons: str = 'pairs.jsonl'
  comparison_columns: str = ''
  judge: Reward | None = None
  dpo_steps: Count = 100
  max_prompt_tokens: Count = 256
  max_response_tokens: Count = 256


def config(settings: Settings) -> Experiment:
  files = settings.comparisons, settings.comparison_columns
  source = Feedback(
    settings.data_dir,
    comparisons=own_files(*files, read=formats.comparisons),
    demonstrations=own_files(*files, read=formats.demonstrations),
    vocab_size=settings.vocab_size,
    gold=settings.judge,
  )
  optimizer = Adam(learning_rate=1e-4, decay=linear)
  preference = dpo.Config(
    steps=settings.dpo_steps, batch_size=32, optimizer=optimizer
  )
  return text_chain.experiment(
    settings,
    title='DPO on your own preferences',
    data=source,
    stages=text_chain.sft_stages(settings)
    | dpo.stages(preference, data='comparisons'),
    evaluation=Evaluation(comparisons='test_comparisons', count=64),
    buckets=(32, 64, 128, 256),
  )
