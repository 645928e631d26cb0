"""SteerLM: fine-tuning on responses and the attributes that they have.

A model rates every response, the policy learns to respond given the ratings,
and at inference a user asks for the ratings that are wanted
(`feedback.attributes.Steering`). Once more, the policy's own responses to
requests for high quality are rated and learnt from: bootstrapping.

Source: Dong et al. 2023 (SteerLM).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback import annotating
from rlhf_jax.feedback.attributes import Scale
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.learners import likelihood
from rlhf_jax.stages import DatasetMethod, DatasetStage, Method
from rlhf_jax.training import optimizers
from rlhf_jax.types import Demonstration, Record
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

loss = likelihood.loss
update = likelihood.update


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Responses:
  """How many responses are taken from the data.

  Attributes:
    count: responses; None takes all of the data's.
    batch_size: records at a time.
  """

  count: Count | None = None
  batch_size: Count = 256


def strip(
  records: Sequence[Record], queries: Any, *, config: Responses
) -> list[Demonstration]:
  """Demonstrations of all responses without attributes: the SFT baseline."""
  del queries, config
  return [
    Demonstration(prompt._replace(condition=''), response)
    for prompt, response in annotating.responses(records)
  ]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Annotation(Responses):
  """Who gives responses their attributes.

  Attributes:
    scale: of the attributes.
    rate: `annotating.by_model`, `by_writer` or `by_people`.
  """

  scale: Scale
  rate: annotating.Rater = annotating.by_model


def annotate(
  records: Sequence[Record], queries: Any, *, config: Annotation
) -> list[Demonstration]:
  """Demonstrations of all responses whose attributes are known."""
  condition = config.scale.condition
  return [
    Demonstration(prompt._replace(condition=condition(values)), response)
    for prompt, response, values in config.rate(records, queries, config.scale)
    if values
  ]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Bootstrap:
  """How the policy is asked for responses of its own.

  Attributes:
    scale: of the attributes.
    quality: the attributes that are asked for at their best.
    samples: responses to each prompt.
    sampling: of the responses.
    count: responses; None takes all.
    batch_size: None, since what is asked for depends on all of the data.
  """

  scale: Scale
  quality: tuple[str, ...] = ('quality',)
  samples: Count = 4
  sampling: Sampling = Sampling(temperature=1.0, top_k=50)
  count: Count | None = None
  batch_size: Count | None = None

  def __post_init__(self):
    if self.batch_size is not None:
      raise ValueError(
        f'batch_size is {self.batch_size}; what is asked for is drawn from all '
        'of the data, so leave it None'
      )
    for name in self.quality:
      if name not in self.scale.names:
        raise ValueError(
          f'there is no attribute {name!r} to ask for at its best; there are '
          f'{", ".join(self.scale.names)}'
        )


def bootstrap(
  records: Sequence[Demonstration], queries: Any, *, config: Bootstrap
) -> list[Demonstration]:
  """Own responses to the data's prompts, on what they were asked for.

  Each prompt is asked once on a combination of attributes, v′, drawn from the
  data's with the best quality. They have to be annotated before they are learnt
  from, v″: with v′, the policy would learn to ignore what it is asked for.
  """
  scale = config.scale
  combinations = best([levels(record, scale) for record in records], config)
  prompts = {}
  for record, seed in zip(records, queries.seeds, strict=True):
    prompts.setdefault(record.prompt.messages, (record.prompt, seed))
  asked = []
  for prompt, seed in prompts.values():
    drawn = np.random.default_rng(seed).integers(len(combinations))
    condition = scale.condition(combinations[drawn])
    asked.append(prompt._replace(condition=condition))
  sampled = queries.sample(
    samples=config.samples, sampling=config.sampling, ended=True, prompts=asked
  )
  return [
    Demonstration(prompt, text)
    for prompt, texts in zip(asked, sampled, strict=True)
    for text in texts
  ]


def best(
  values: Sequence[Mapping[str, int]], config: Bootstrap
) -> list[Mapping[str, int]]:
  """The different ones of `values` with the highest quality that occurs.

  Quality is the sum over `config.quality`. Where all of these are at the top
  level somewhere, these are the paper's: the combinations with quality at its
  maximum.
  """
  quality = [sum(v.get(name, 0) for name in config.quality) for v in values]
  highest = max(quality)
  found = {
    config.scale.encode(v): v
    for v, reached in zip(values, quality, strict=True)
    if reached == highest
  }
  return [found[text] for text in sorted(found)]


def levels(record: Demonstration, scale: Scale) -> Mapping[str, int]:
  """The attributes that a demonstration's response is conditioned on."""
  values = scale.conditioned_on(record.prompt.condition)
  if values is None:
    raise ValueError(
      'bootstrapping starts from annotated responses, and the one to '
      f'{record.prompt.text[:40]!r} has no attributes of this scale'
    )
  return values


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(likelihood.Config, optimizers.Steps):
  """The paper's values; it goes five times over the data."""

  batch_size: Count = 128
  optimizer: optimizers.Adam = optimizers.Adam(
    learning_rate=5e-6, weight_decay=0.01
  )


# The data's responses without attributes, for SFT beside SteerLM.
plain_stages = DatasetMethod(
  name='plain', data='annotated', build=strip, builds=Demonstration
)


def _asked(config, sources):
  """The `policy` or `frozen` argument of a stage, by who rates."""
  return annotating.asked(config.rate, sources['rater'])


# The data's responses with their attributes.
annotation_stages = DatasetMethod(
  name='annotated',
  data='rated',
  build=annotate,
  builds=Demonstration,
  asked=_asked,
  sources={'rater': 'attribute_model'},
)


def bootstrap_stages(
  config: Bootstrap,
  annotation: Annotation,
  *,
  data: str = 'annotated',
  policy: str = 'steerlm',
  rater: str = 'attribute_model',
  name: str = 'bootstrapped',
) -> dict[str, DatasetStage]:
  """{name}_own, {name}: `policy`'s own responses, then annotated.

  `data` is what the policy was trained on, and `rater` the stage that trained
  who rates.
  """
  own = DatasetStage(
    build=bootstrap,
    config=config,
    data=data,
    builds=Demonstration,
    policy=policy,
  )
  return {f'{name}_own': own} | annotation_stages(
    annotation, data=f'{name}_own', rater=rater, name=name
  )


# On responses given their attributes.
stages = Method(
  name='steerlm',
  data='annotated',
  reads=(Demonstration,),
  init=likelihood.init,
  update=update,
)
