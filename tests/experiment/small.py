"""The sandbox's experiment with a tiny model that nobody trained."""

import dataclasses
import functools
import io
import pathlib

import jax

from experiments import sandbox_chain
from rlhf_jax import sandbox, sharding
from rlhf_jax.data.limits import Limits, drop
from rlhf_jax.experiment import prepare
from rlhf_jax.experiment.model_queries import ModelQueries
from rlhf_jax.experiment.models import roles
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.methods import ranker, reward_model, sft
from rlhf_jax.models import TransformerConfig

RECORDS = 20
WORLD = sandbox.World(demonstrations=RECORDS, comparisons=RECORDS)
MODEL = TransformerConfig(
  vocab_size=sandbox.tokenizer().vocab_size,
  layers=1,
  width=16,
  heads=2,
  kv_heads=2,
  head_width=8,
  mlp_width=32,
)


LIMITS = Limits(
  max_prompt_tokens=sandbox.max_prompt_tokens(),
  max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
)
LONG = 100  # Times a prompt's words are no prompt within the limits.


@functools.cache
def params(role):
  """What might play `role` once its stage has ended."""
  key = jax.random.key({'policy': 1, 'reward': 2, 'ranker': 3}[role])
  models = roles(MODEL)
  return (models.policy if role == 'policy' else models.reward).init(key)


def earlier():
  """Stages that a chain begins with; the last two have scalar heads."""
  return (
    sft.stages(sft.Config(steps=1))
    | reward_model.stages(reward_model.Config(steps=1), data='comparisons')
    | ranker.stages(ranker.Config(steps=1), data='comparisons')
  )


def producing(name, role):
  """{name}: the earlier stage of that name, as if it trained another role."""
  return {name: earlier()[name]._replace(produces=role)}


def chain(folder: pathlib.Path, stages, *, devices=1, **changes) -> Run:
  """A chain with `stages` after an 'sft', a 'reward_model' and a 'ranker'.

  Args:
    folder: of the stages.
    stages: by name.
    devices: over how many the mesh goes.
    changes: fields of the experiment that are other.
  """
  experiment = sandbox_chain.experiment(
    sandbox_chain.Settings(), title='small', stages=earlier() | stages
  )
  experiment = dataclasses.replace(
    experiment, **({'data': WORLD, 'model': MODEL} | changes)
  )
  made = prepare(experiment, folder, console=io.StringIO())
  for name, role in (('reward_model', 'reward'), ('ranker', 'ranker')):
    made.loaded[name] = {experiment.stages[name].produces: params(role)}
  made.loaded['sft'] = {'policy': params('policy')}
  mesh = sharding.make_mesh({'data': devices}, jax.devices()[:devices])
  return dataclasses.replace(made, mesh=mesh)


def remade(run: Run, **changes) -> Run:
  """The run of an experiment with other fields."""
  experiment = dataclasses.replace(run.experiment, **changes)
  return dataclasses.replace(run, experiment=experiment)


def queries(run: Run, name: str, examples) -> ModelQueries:
  """The queries of a dataset stage."""
  stage = run.experiment.stages[name]
  reward = stage.frozen.get('reward')
  return ModelQueries(
    name,
    stage,
    examples,
    data=run.data,
    models=run.models(reward),
    trained=run.trained,
    reward=run.scored_by(reward, run.data),
    key_of=run.key,
  )


def holding(run: Run, **datasets) -> Run:
  """The run with other records in some datasets of its source."""
  held = {**run.corpus.datasets, **datasets}
  return dataclasses.replace(run, corpus=run.corpus._replace(datasets=held))


def dropping(run: Run) -> Run:
  """The run where prompts that are too long are left out."""
  limits = dataclasses.replace(run.experiment.limits, overlong=drop)
  return remade(run, limits=limits)
