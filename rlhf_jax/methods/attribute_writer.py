"""A language model that writes people's ratings after a response.

SteerLM's attribute prediction as the paper has it: prompt, response, marker,
and then the ratings as text, which alone count in the loss. What it writes by
greedy decoding is read by `steerlm.annotate_by_writer`.

Source: Dong et al. 2023 (SteerLM).
"""

import dataclasses
from typing import Any

from rlhf_jax.generation import annotating
from rlhf_jax.generation.attributes import Scale
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.training import optimizers
from rlhf_jax.types import Demonstration, Rated
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = likelihood.loss
update = likelihood.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Labels:
  """How ratings become text to write.

  Attributes:
    scale: of the ratings.
    count: responses; None takes all that are rated.
    batch_size: responses at a time.
  """

  scale: Scale
  count: Count | None = None
  batch_size: Count = 256


def write(records, tools, *, config):
  """A Demonstration of rating each Rated response that has a rating."""
  del tools  # People have rated already.
  written = []
  for prompt, response, ratings in annotating.rated_by_people(records):
    values = config.scale.rated(ratings)
    if values:
      asked = prompt._replace(condition=config.scale.question(response))
      written.append(Demonstration(asked, config.scale.encode(values)))
  return written


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """The paper's values; it goes five times over the data."""

  batch_size: Count = 128
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=5e-6, weight_decay=0.01
  )


def label_stages(
  config: Labels, *, data: str = 'rated', name: str = 'attribute_labels'
) -> dict[str, DatasetStage]:
  """{name}: rated responses as demonstrations of rating them.

  A prompt then holds a response, too: `Limits.max_prompt_tokens` must allow it.
  """
  return {
    name: DatasetStage(
      write=write,
      config=config,
      data=data,
      reads=(Rated,),
      writes=Demonstration,
    )
  }


def stages(
  config: Config,
  *,
  data: str = 'attribute_labels',
  start: str = 'sft',
  curriculum: Any = None,
  name: str = 'attribute_writer',
) -> dict[str, Stage]:
  """{name}: from `start`, on demonstrations of rating."""
  return {
    name: Stage(
      init=likelihood.init,
      update=update,
      config=config,
      data=data,
      reads=(Demonstration,),
      start={'policy': start},
      produces='attributes',
      curriculum=curriculum,
    )
  }
