r"""Claims: attributes help, predicted ones more; they steer; own samples add.

Dong et al. 2023 (SteerLM), the ablation and the section on steering: attribute
labels give the largest gain over SFT on the same responses (79.7 to 96.2 % of
ChatGPT's score with people's labels), predicted labels beat people's (98.1 to
102.7), bootstrapping adds a little (103.7 to 104.2), and a requested attribute
is obtained, more of it the more is asked for (toxicity).

People rate as many responses as there are comparisons, each attribute a level
off three times in ten. `steerlm_rated`, `steerlm_regressed` and
`steerlm_people` learn from these with ratings that a language model writes as
text, with a regression's, and with people's; `steerlm` with written ratings
also from responses that nobody rated ('written', four to each training prompt).
`sft_rated` and `sft_more` learn from the same two without any ratings; all by
as many updates from SFT.
`steerlm_again` goes on with the data of `steerlm` for as long as
`steerlm_bootstrapped` does with the policy's own responses. All are asked for
the best attributes; `verbosity_0` and the like ask `steerlm` for another level
of one. Holds if the contrasts' intervals are above one half; for control see
obedience.py.
Run: python -m launch.seeds experiments/steerlm/steering.py --seeds 0 1 2
To ask for other attributes, once that is done:
python -m launch.generate experiments/steerlm/steering.py --policy steerlm \
  --set attributes.verbosity=0 --prompt 'what is 6 plus 2 ? full'
"""

import dataclasses
import functools
from typing import Any

from experiments import sandbox_chain, sandbox_rl
from rlhf_jax import sandbox
from rlhf_jax.experiment import Answering, Experiment
from rlhf_jax.generation import annotating
from rlhf_jax.generation.attributes import Scale, Steering
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


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(sandbox_chain.Settings):
  """What is set most often.

  Attributes:
    attributes: what policies are asked for, each from 0 to 4.
  """

  attributes: sandbox.Attributes = BEST


def asking(policy: str, attributes: sandbox.Attributes) -> Answering:
  """Asks a policy for a response with these attributes."""
  wanted = Steering(scale=SCALE, values=attributes._asdict())
  return Answering(policy=policy, condition=wanted)


def requests() -> dict[str, Answering]:
  """`steerlm`, asked for each level of each attribute, the others best."""
  return {
    f'{name}_{level}': asking('steerlm', BEST._replace(**{name: level}))
    for name in NAMES
    for level in range(SCALE.levels)
  }


def attribute_stages(settings: Settings) -> sandbox_chain.Stages:
  """{'attribute_model'}: four times over the rated responses, as published."""
  return attribute_model.stages(
    attribute_model.Config(
      names=NAMES,
      steps=4 * settings.pairs // 32,
      batch_size=32,
      optimizer=Adam(learning_rate=ATTRIBUTE_RATE, decay=linear),
    )
  )


def writer_stages(settings: Settings) -> sandbox_chain.Stages:
  """{'attribute_labels', 'attribute_writer'}: as often over the same."""
  config = attribute_writer.Config(
    steps=4 * settings.pairs // 32,
    batch_size=32,
    optimizer=Adam(learning_rate=RATE, decay=linear),
  )
  return attribute_writer.label_stages(
    attribute_writer.Labels(scale=SCALE)
  ) | attribute_writer.stages(config)


def tuned(settings: Settings, learning_rate: float) -> dict[str, Any]:
  """Six times over as many responses as there are comparisons."""
  steps = 6 * settings.pairs // 64
  return sandbox_chain.tuned(settings, learning_rate) | {'steps': steps}


def config(settings: Settings) -> Experiment:
  people = steerlm.Annotation(scale=SCALE, rate=annotating.by_people)
  written = steerlm.Annotation(scale=SCALE, rate=annotating.by_writer)
  regressed = steerlm.Annotation(scale=SCALE)
  write = functools.partial(
    steerlm.annotation_stages, written, rater='attribute_writer'
  )
  plain = steerlm.Responses()
  arm = steerlm.Config(**tuned(settings, RATE))
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_rl.tuned_ppo_stages(settings)
  stages |= attribute_stages(settings) | writer_stages(settings)
  stages |= write(data=('rated', 'written'))
  stages |= write(data='rated', name='annotated_rated')
  stages |= steerlm.annotation_stages(regressed, name='annotated_regressed')
  stages |= steerlm.annotation_stages(people, name='annotated_people')
  stages |= steerlm.plain_stages(plain)
  stages |= steerlm.plain_stages(plain, data='rated', name='plain_rated')
  for name, data in {'sft_more': 'plain', 'sft_rated': 'plain_rated'}.items():
    stages |= sft.stages(
      sft.Config(**tuned(settings, PLAIN_RATE)),
      data=data,
      start='sft',
      name=name,
    )
  stages |= steerlm.stages(arm)
  for name in ('rated', 'regressed', 'people'):
    stages |= steerlm.stages(
      arm, data=f'annotated_{name}', name=f'steerlm_{name}'
    )
  stages |= steerlm.bootstrap_stages(
    steerlm.Bootstrap(scale=SCALE, quality=QUALITY),
    written,
    rater='attribute_writer',
  )
  for name, data in {
    'bootstrapped': 'bootstrapped',
    'again': 'annotated',
  }.items():
    stages |= steerlm.stages(
      arm, data=data, start='steerlm', name=f'steerlm_{name}'
    )
  others = [name for name in stages if name.startswith('steerlm_')]
  return sandbox_chain.experiment(
    settings,
    title='Steering by attributes',
    stages=stages,
    answering={
      name: asking(name, settings.attributes) for name in ('steerlm', *others)
    }
    | requests(),
    condition_tokens=sandbox_chain.CONDITION_TOKENS,
    contrasts={
      'attributes help': ('steerlm', 'sft_more'),
      "predicted ratings beat people's": ('steerlm_rated', 'steerlm_people'),
      'ratings written as text beat regression': (
        'steerlm_rated',
        'steerlm_regressed',
      ),
      "people's ratings help": ('steerlm_people', 'sft_rated'),
      'unrated responses help': ('steerlm', 'steerlm_rated'),
      'bootstrapping helps': ('steerlm_bootstrapped', 'steerlm'),
      'bootstrapping beats more of the same': (
        'steerlm_bootstrapped',
        'steerlm_again',
      ),
      'SteerLM beats PPO': ('steerlm', 'ppo'),
    }
    | {
      f'asking for {name} beats asking for none': (f'{name}_4', f'{name}_0')
      for name in QUALITY
    },
  )
