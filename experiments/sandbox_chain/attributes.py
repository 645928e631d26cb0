"""SteerLM in the sandbox: responses with their attributes, imitated.

People rate as many responses as there are comparisons, each attribute a level
off three times in ten. A regression and a language model, which writes ratings
as text, learn theirs, and rate other responses.
"""

import dataclasses
from typing import Any

from experiments.sandbox_chain import chain, pairs
from experiments.sandbox_chain.chain import Stages
from rlhf_jax import sandbox
from rlhf_jax.experiment import PolicyVariant
from rlhf_jax.feedback import annotating
from rlhf_jax.feedback.attributes import Scale, Steering
from rlhf_jax.methods import attribute_model, attribute_writer, sft, steerlm
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.values import checked

ATTRIBUTE_RATE = 2e-3  # The reward model's.
# Conditions are new words, which take more and larger steps than SFT on known
# ones: of 3e-4, 1e-3 and 3e-3 with 128, 384 and 768 updates.
RATE = 3e-3
PLAIN_RATE = 1e-3

NAMES = sandbox.Attributes._fields
SCALE = Scale(names=NAMES, spelling=sandbox.spell)
# What gold rewards; verbosity is a matter of style, and none is best for both.
QUALITY = ('correctness', 'helpfulness', 'politeness', 'coherence')
BEST = sandbox.Attributes(
  correctness=4, helpfulness=4, verbosity=2, politeness=4, coherence=4
)
WRITTEN = steerlm.Annotation(scale=SCALE, rate=annotating.by_writer)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(chain.Settings):
  """What is set most often.

  Attributes:
    attributes: what policies are asked for, each from 0 to 4.
  """

  attributes: sandbox.Attributes = BEST


def asking(policy: str, attributes: sandbox.Attributes) -> PolicyVariant:
  """Asks a policy for a response with these attributes."""
  wanted = Steering(scale=SCALE, values=attributes._asdict())
  return PolicyVariant(policy=policy, condition=wanted)


def requests() -> dict[str, PolicyVariant]:
  """`steerlm`, asked for each level of each attribute, the others best."""
  return {
    f'{name}_{level}': asking('steerlm', BEST._replace(**{name: level}))
    for name in NAMES
    for level in range(SCALE.levels)
  }


def rater_stages(settings: Settings) -> Stages:
  """'attribute_model', 'attribute_labels', 'attribute_writer': who rates.

  Both go four times over the rated responses, as published.
  """
  often = {'steps': 4 * settings.pairs // 32, 'batch_size': 32}
  regression = attribute_model.Config(
    names=NAMES,
    optimizer=Adam(learning_rate=ATTRIBUTE_RATE, decay=linear),
    **often,
  )
  writer = attribute_writer.Config(
    optimizer=Adam(learning_rate=RATE, decay=linear), **often
  )
  return (
    attribute_model.stages(regression)
    | attribute_writer.label_stages(attribute_writer.Labels(scale=SCALE))
    | attribute_writer.stages(writer)
  )


def annotation_stages() -> Stages:
  """'annotated', with what nobody rated; and 'annotated_…', of each rater."""
  writer = 'attribute_writer'
  people = steerlm.Annotation(scale=SCALE, rate=annotating.by_people)
  annotate = steerlm.annotation_stages
  return (
    annotate(WRITTEN, rater=writer, data=('rated', 'written'))
    | annotate(WRITTEN, rater=writer, name='annotated_rated')
    | annotate(steerlm.Annotation(scale=SCALE), name='annotated_regressed')
    | annotate(people, name='annotated_people')
  )


def plain_arms(settings: Settings) -> Stages:
  """'sft_more', 'sft_rated': the same responses, without any ratings."""
  plain = steerlm.Responses()
  config = sft.Config(**_tuned(settings, PLAIN_RATE))
  return (
    steerlm.plain_stages(plain)
    | steerlm.plain_stages(plain, data='rated', name='plain_rated')
    | sft.stages(config, data='plain', start='sft', name='sft_more')
    | sft.stages(config, data='plain_rated', start='sft', name='sft_rated')
  )


def arms(settings: Settings) -> Stages:
  """'steerlm' and 'steerlm_…': on each set of ratings, then bootstrapped."""
  config = steerlm.Config(**_tuned(settings, RATE))
  own = steerlm.Bootstrap(scale=SCALE, quality=QUALITY)
  stages = steerlm.stages(config)
  for rater in ('rated', 'regressed', 'people'):
    stages |= steerlm.stages(
      config, data=f'annotated_{rater}', name=f'steerlm_{rater}'
    )
  stages |= steerlm.bootstrap_stages(own, WRITTEN, rater='attribute_writer')
  for name, data in (('bootstrapped', 'bootstrapped'), ('again', 'annotated')):
    stages |= steerlm.stages(
      config, data=data, start='steerlm', name=f'steerlm_{name}'
    )
  return stages


def _tuned(settings: Settings, learning_rate: float) -> dict[str, Any]:
  """Six times over as many responses as there are comparisons."""
  steps = 6 * settings.pairs // 64
  return pairs.tuned(settings, learning_rate) | {'steps': steps}
