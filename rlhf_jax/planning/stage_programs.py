"""The programs of a stage, from the functions that run it.

A stage is rehearsed: its own `collect` and `update` are called as
`experiment.running` calls them, with shapes for parameters and ones for what is
sampled, and what they would run is noted in place of being run.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh

from rlhf_jax.data import packing
from rlhf_jax.data.collation import collate
from rlhf_jax.data.examples import Example
from rlhf_jax.experiment import beginning
from rlhf_jax.experiment.definition import Experiment
from rlhf_jax.experiment.models import assembled
from rlhf_jax.learners.reward import head
from rlhf_jax.planning import shapes
from rlhf_jax.planning.compiling import Program
from rlhf_jax.planning.rehearsal import Rehearsal, named
from rlhf_jax.stages import Learnt, Stage
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Models, Params, TrainState, WithExtra


def of_stage(
  experiment: Experiment, name: str, mesh: Mesh | AbstractMesh
) -> list[Program]:
  """The programs that a stage runs: before its steps, and in each of them.

  Batches are as long as the limits let them be. A reward that is given as a
  folder is taken to have the policy's tokenizer.

  Args:
    experiment: with the stage.
    name: of a stage that trains.
    mesh: of devices that are not here or, to trace alone, abstract.
  """
  rehearsal = Rehearsal(mesh, experiment.limits.max_response_tokens)
  trained = shapes.Shapes(
    stages=experiment.stages,
    model=experiment.model,
    tokenizer=shapes.StandIn(),
    folders=None,
    mesh=mesh,
    loaded={},
  )
  with rehearsal.noting():
    _rehearse(rehearsal, experiment, trained, name)
  return rehearsal.programs


def _rehearse(rehearsal, experiment, trained, name):
  """As `running.train` does it, one step."""
  stage, key = experiment.stages[name], jax.random.key(0)
  models = _models(experiment, trained, name)
  batch, spread = _batch(rehearsal, experiment, trained, name, models)
  optimizer = stage.config.make_optimizer()
  state, frozen = _begun(rehearsal, trained, name, optimizer)
  frozen |= spread
  rehearsal.held, rehearsal.times = {'state': state, 'frozen': frozen}, 1
  if stage.collect is not None:
    batch = _collected(rehearsal, stage, models, state, frozen, batch)
  jitted(stage.update, donate=(0,))(
    state,
    frozen,
    batch,
    key,
    models=models,
    optimizer=optimizer,
    config=stage.config,
  )


def _models(experiment, trained, name) -> Models:
  reward = experiment.stages[name].frozen.get('reward')
  return assembled(
    trained.models(name),
    trained.tokenizer,
    trained.tokenizer,
    scorer=trained.scorer(reward) if isinstance(reward, Learnt) else None,
    max_response=experiment.limits.max_response_tokens,
  )


def _begun(rehearsal, trained, name, optimizer) -> tuple[TrainState, Params]:
  """The state and what is frozen, of a stage that begins."""
  rehearsal.held = {}
  create, start = beginning.creator(trained, name, optimizer)
  state = beginning.state_shapes(trained, name, optimizer)
  placed = jax.tree.map(lambda leaf: leaf.sharding, state)
  key = jax.random.key(0)
  rehearsal.note(named('init', create, out_shardings=placed), key, start)
  own = functools.partial(jax.tree.map, _another, state.params)
  precompute = trained.stages[name].precompute
  unread = {'reference'} if precompute is not None else ()
  return state, beginning.frozen_params(trained, name, own, unread)


def _batch(rehearsal, experiment, trained, name, models) -> tuple[Any, Any]:
  """A batch, as `running` makes it of what it has computed beforehand.

  And {'features': how these spread}, of a stage that learns from some.
  """
  stage, limits = experiment.stages[name], experiment.limits
  config, spread = stage.config, {}
  rows, options = config.batch_size, {'models': models, 'config': config}
  examples = _examples(stage, stage.reads, limits, rows)
  own = functools.partial(_drawn, rehearsal, trained, name)
  if stage.precompute is not None:
    unread = stage.frozen.keys() - {'reference'}
    frozen = beginning.frozen_params(trained, name, own, unread)
    rehearsal.held = {'frozen': frozen}
    part = _collated(examples[: rows // config.micro_batches], limits)
    found = jitted(stage.precompute)(frozen, part, **options)
    if found is not None:
      logps = tuple(found[0].tolist())
      examples = [e._replace(reference_logps=logps) for e in examples]
  if stage.features is not None:
    batch = _collated(examples, limits)
    found = jitted(stage.features)(own(), batch, **options)
    examples = [e._replace(features=found[0]) for e in examples]
    spread['features'] = head.spread([e.features for e in examples])
  if (length := getattr(config, 'row_length', None)) is not None:
    filling = rows * max(1, length // examples[0].length)
    more = _examples(stage, stage.reads, limits, filling)
    examples = packing.pack(more, length)[:rows]
  batch = _collated(examples, limits)
  if stage.extra_data is None:
    return batch, spread
  size = config.extra_batch_size
  extra = _examples(stage, stage.reads_extra, limits, size)
  return WithExtra(batch, _collated(extra, limits)), spread


def _drawn(rehearsal, trained, name) -> Params:
  """What a stage trains as it is at its start, drawn for itself."""
  start = trained.start(name)
  placed = trained.placed(trained.abstract_trained(name))
  init = named(
    'init_params',
    trained.trainable(name, start),
    out_shardings=jax.tree.map(lambda leaf: leaf.sharding, placed),
  )
  rehearsal.note(init, jax.random.key(0), start)
  return placed


def _collected(rehearsal, stage, models, state, frozen, prompts) -> Any:
  """What a stage learns from, of its own samples."""
  extra = {name: np.float32(1.0) for name in state.extra}
  whole = training.whole(state.params, frozen)
  scorer = rehearsal.scorer(models.scorer)
  if not isinstance(stage.frozen.get('reward'), Learnt):
    scorer = _by_a_program
  batch, _ = stage.collect(
    state.replace(params=whole, extra=extra),
    frozen,
    prompts,
    jax.random.key(0),
    models=models._replace(
      sampler=rehearsal.sampler(models.sampler), scorer=scorer
    ),
    config=stage.config,
  )
  rehearsal.held.pop('loaded', None)
  return batch


def _by_a_program(frozen, rollouts):
  """Scores that are made on the host."""
  del frozen
  return np.ones(rollouts.ended.shape, np.float32)


def _examples(stage: Stage, reads, limits, rows) -> Sequence[Example]:
  """Of the first kind of records that a stage reads."""
  responses = max(stage.least_responses, 2)
  return shapes.longest(reads[0], limits, rows, responses=responses)


def _collated(examples, limits):
  pad_id = shapes.StandIn.pad_id
  return collate(examples, pad_id=pad_id, limits=limits)


def _another(leaf):
  """An array of the same shape, with memory of its own."""
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
