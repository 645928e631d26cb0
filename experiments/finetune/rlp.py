"""RLP: PPO, then the reward model again on PPO's answers, then PPO again.

Run: python -m launch.train experiments/finetune/rlp.py
  --set model=models/smollm2 --set data=pairs.jsonl
The reward model is trained again in both ways of Lang et al. 2024: with two
views of each prompt (rlp_uml), and with pairs of answers that agree in most of
their words and answers that do not (rlp_spg); then PPO again on each.
To expect of SmolLM2-135M and 100 of HH's pairs (--set examples=100, steps=4,
max_prompt_tokens=64, max_response_tokens=32): ten stages in 128 minutes beside
other work on a core, 12 GB. 7 held-out pairs and 0.1 nats tell nothing apart.
"""

import dataclasses
import functools

from experiments.finetune import recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment
from rlhf_jax.feedback import similarity
from rlhf_jax.methods import ppo, rlp
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

PAIRS = 'comparisons'
ALIKE = functools.partial(similarity.rouge_l, threshold=0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes, and: the answers that are drawn to each prompt."""

  examples: Count | None = 200
  steps: Count = 8
  batch_size: Count = 16
  samples: Count = 4
  max_response_tokens: Count = 48


def config(settings: Settings) -> Experiment:
  before, start = recipe.start(settings)
  learn = functools.partial(ppo.stages, recipe.ppo_config(settings))
  views = rlp.stable(steps=30, batch_size=8, extra_batch_size=8)
  agreeing = rlp.synthetic.Config(similarity=ALIKE)
  scale = rlp.scale.Config(batch_size=64)
  retrained = {
    'uml': rlp.stages(views, data=PAIRS, start=start, name='uml'),
    'spg': rlp.synthetic.stages(agreeing, name='agreed')
    | recipe.reward_stages(start, data=(PAIRS, 'agreed'), name='spg'),
  }
  chain = before | recipe.reward_stages(start) | learn(start=start)
  chain |= rlp.samples.stages(rlp.samples.Config(samples=settings.samples))
  for name, trained in retrained.items():
    like = {'data': PAIRS, 'name': f'reward_model_{name}'}
    chain |= rlp.scale.stages(scale, trained=trained, **like)
    chain |= learn(start=start, reward=like['name'], name=f'rlp_{name}')
  data = recipe.source(settings, comparisons=formats.comparisons)
  measured = {'comparisons': f'test_{PAIRS}'}
  return recipe.experiment(settings, 'RLP on pairs', data, chain, **measured)
