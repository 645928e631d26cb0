"""A language model that writes people's ratings after a response.

SteerLM's attribute prediction as the paper has it: prompt, response, marker,
and then the ratings as text, which alone count in the loss. What it writes by
greedy decoding is read by `steerlm.annotate_by_writer`.

Source: Dong et al. 2023 (SteerLM).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rlhf_jax.feedback import annotating
from rlhf_jax.feedback.attributes import Scale
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetMethod, Method
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


def build(
  records: Sequence[Rated], queries: Any, *, config: Labels
) -> list[Demonstration]:
  """A Demonstration of rating each Rated response that has a rating."""
  del queries  # People have rated already.
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


# Rated responses as demonstrations of rating them. A prompt then holds a
# response, too: `Limits.max_prompt_tokens` must allow it.
label_stages = DatasetMethod(
  name='attribute_labels',
  data='rated',
  reads=(Rated,),
  build=build,
  builds=Demonstration,
)


# On demonstrations of rating.
stages = Method(
  name='attribute_writer',
  data='attribute_labels',
  reads=(Demonstration,),
  init=likelihood.init,
  update=update,
  produces='attributes',
)
