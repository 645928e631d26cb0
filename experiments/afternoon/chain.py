"""How a first afternoon is measured: rewards on pairs, and what one chooses."""

from collections.abc import Mapping

from experiments.afternoon.source import Source
from rlhf_jax.data.limits import keep_end
from rlhf_jax.experiment import (
  Evaluation,
  Experiment,
  Limits,
  PolicyVariant,
  Pretrained,
  Stage,
)
from rlhf_jax.models import huggingface, presets

CLAIM = 'The best by a learnt reward reads as more positive than one sample'


def experiment(
  stages: Mapping[str, Stage], *, data: str, model: str, seed: int
) -> Experiment:
  """Of reward models, each on held-out pairs of its kind; 'review' chooses.

  The model goes on with reviews: once, and eight times, of which the best by
  that reward is taken.

  Args:
    stages: of the reward models, by the kinds of pairs that `Source` has.
    data: folder of its files.
    model: folder of the model; none need be there to look at what can be set.
    seed: of everything random.
  """
  size = presets.small_text(2048)
  if huggingface.is_folder(model):
    size = huggingface.config_of(model)
  policy = Pretrained(model)
  return Experiment(
    title='A first afternoon with a real model',
    seed=seed,
    data=Source(data, model),
    model=size,
    limits=Limits(
      max_prompt_tokens=96,
      max_response_tokens=48,
      overlong=keep_end,
      buckets=(32, 48, 64, 80, 96),
    ),
    stages=stages,
    variants={
      'one sample': PolicyVariant(policy=policy),
      'best of 8': PolicyVariant(policy=policy, best_of=8),
    },
    contrasts={CLAIM: ('best of 8', 'one sample')},
    evaluation=Evaluation(
      prompts='openings',
      comparisons={kind: f'test_{kind}_pairs' for kind in stages},
      samples=1,
      batch_size=16,
      against='one sample',
      scored_by='review',
    ),
  )
