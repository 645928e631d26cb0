"""How rewards on a kept trunk are measured: on people's pairs and sums."""

from collections.abc import Mapping

from experiments.half_known.source import Source, one_of_each
from rlhf_jax.data.limits import keep_end
from rlhf_jax.experiment import (
  DatasetStage,
  Evaluation,
  Experiment,
  Limits,
  PolicyVariant,
  Pretrained,
  Stage,
)
from rlhf_jax.models import huggingface, presets

TEMPERATURE = 0.7  # At which sums are sampled.
Stages = Mapping[str, Stage | DatasetStage]


def experiment(
  stages: Stages,
  *,
  data: str,
  model: str,
  seed: int,
) -> Experiment:
  """Of reward models, on held-out pairs and on a right and a wrong sample.

  Args:
    stages: of the reward models; 'bradley_terry' scores the samples.
    data: folder of `Source`'s file.
    model: folder of the model; none need be there to look at what can be set.
    seed: of everything random.
  """
  size = presets.small_text(2048)
  if huggingface.is_folder(model):
    size = huggingface.config_of(model)
  return Experiment(
    title='RLP-SPG on a real model',
    seed=seed,
    data=Source(data, model),
    model=size,
    limits=Limits(
      max_prompt_tokens=96,
      max_response_tokens=48,
      overlong=keep_end,
      buckets=(48, 64, 80, 96, 128),
    ),
    stages=stages,
    variants={'model': PolicyVariant(policy=Pretrained(model))},
    evaluation=Evaluation(
      prompts='test_problems',
      comparisons='test_helpful_pairs',
      samples=8,
      batch_size=8,
      temperature=TEMPERATURE,
      against='model',
      scored_by='bradley_terry',
      sample_pairs={'right on wrong': one_of_each},
    ),
  )
