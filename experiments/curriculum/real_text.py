"""Claim: pairs of strong over weak models train DPO on real text, easy first.

GPT-4's, ChatGPT's and InstructGPT's outputs to the same instructions: SFT on
GPT-4's, then DPO from far pairs to near ones, which no annotator compared (Xu
et al. 2024, arXiv 2310.02263). Nobody judges what the policy writes: this shows
that the chain runs on text, and how its log-probs and their gaps move.
Run: python -m launch.train experiments/curriculum/real_text.py
"""

import dataclasses
import functools

from experiments import text_chain
from rlhf_jax.data.curriculum import Curriculum, by_gap, easy_to_hard
from rlhf_jax.data.sources import Tiers
from rlhf_jax.experiment import Evaluation, Experiment
from rlhf_jax.methods import curriculum, dpo
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(text_chain.Settings):
  """Also: updates of DPO, 16 pairs each."""

  sft_steps: Count = 60
  dpo_steps: Count = 40
  max_response_tokens: Count = 64


def config(settings: Settings) -> Experiment:
  learnt = dpo.Config(
    steps=settings.dpo_steps,
    batch_size=16,
    optimizer=Adam(learning_rate=1e-4, decay=linear),
  )
  far_first = Curriculum(
    level=functools.partial(by_gap, edges=(2.0,)), mix=easy_to_hard
  )
  return text_chain.experiment(
    settings,
    title='Pairs of models of known strength',
    data=Tiers(settings.data_dir, vocab_size=settings.vocab_size),
    stages=text_chain.sft_stages(settings)
    | curriculum.stages(curriculum.Config(pairs=((0, 1), (1, 2), (0, 2))))
    | dpo.stages(learnt, data='tier_pairs', curriculum=far_first),
    evaluation=Evaluation(count=32, samples=1, batch_size=32),
  )
