"""Writing what a stage trained as a folder that transformers loads."""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from launch import errors
from rlhf_jax import sharding
from rlhf_jax.data import tokens
from rlhf_jax.experiment import store
from rlhf_jax.experiment.adapters import joined
from rlhf_jax.models import PARTITION_RULES, huggingface, lora
from rlhf_jax.models.huggingface import peft
from rlhf_jax.stages import POLICIES, folder_of, producing
from rlhf_jax.storage import seals
from rlhf_jax.training import checkpoints
from rlhf_jax.types import Params

ROLES = ('policy', 'reward')


def export(
  stage: pathlib.Path,
  destination: pathlib.Path,
  *,
  original: pathlib.Path,
  role: str | None = None,
  dtype: str | None = None,
  adapters: bool = False,
) -> str:
  """Writes what a stage trained as a folder, or leaves nothing.

  Args:
    stage: its folder, or that of its parameters.
    destination: the folder that is written.
    original: the folder that the model began from.
    role: which of the stage's models; None where there is one alone.
    dtype: of all tensors; the original's where None.
    adapters: write adapters alone, in PEFT's format; otherwise they are merged.

  Returns:
    What it is: a language model or a reward model.

  Raises:
    OptionError: the stage has no parameters, or none of that role, or no
      adapters, or a head that reads other than the last token.
  """
  config = huggingface.config_of(original)
  mesh = sharding.make_mesh({'fsdp': -1})
  role, params = trained(
    stage, original=original, mesh=mesh, role=role, adapters=adapters
  )
  scores = role not in POLICIES
  params = _without_bias(params) if scores else params
  if adapters:
    peft.write(destination, config, params, original=original)
    return 'folder of adapters'
  params, settings = lora.merge(params), {}
  layers = _layers(params['trunk'] if scores else params)
  config = config.first(min(layers, config.layers))
  if scores and (original / 'tokenizer.json').is_file():
    # ForSequenceClassification finds the last token by what is no padding.
    settings['pad_token_id'] = tokens.load(original).pad_id
  huggingface.write(
    destination,
    config,
    params,
    original=original,
    dtype=dtype,
    settings=settings,
    out=sys.stderr,
  )
  return 'reward model' if scores else 'language model'


def _layers(trunk):
  """How many layers there are: a reward may be read from the first few."""
  return len(jax.tree.leaves(trunk['layers'])[0])


def trained(
  stage: pathlib.Path,
  *,
  original: pathlib.Path,
  mesh: Any,
  role: str | None = None,
  adapters: bool = False,
) -> tuple[str, Params]:
  """A role, and what a stage trained for it beside what its adapters adapt.

  Args:
    stage, original, role: as of `export`.
    mesh: where they are placed.
    adapters: whether there have to be some.

  Raises:
    OptionError: as of `export`.
  """
  folder = _parameters(stage)
  if (folder / store.READING).exists():
    raise errors.OptionError(
      f'{stage} trained a reward model whose head reads '
      f'{json.loads((folder / store.READING).read_text())}, and that of '
      'transformers reads the last token alone; export one that was trained '
      'without `reading`'
    )
  seals.verify(folder, delete=stage)
  like = checkpoints.abstract_params(folder)
  role = _role(like, stage, role)
  placed = sharding.shardings(like, PARTITION_RULES, mesh)
  like = jax.tree.map(
    lambda one, at: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=at),
    like,
    placed,
  )
  params = checkpoints.load_params(folder, like)
  params = params[role]
  said = folder / store.BASE
  if said.exists():
    said = json.loads(said.read_text())
    return role, joined(params, role, said, original, mesh)
  if adapters:
    raise errors.OptionError(
      f'{stage} was trained without adapters; leave --adapters out'
    )
  return role, params


def last_trained(stages: Mapping[str, Any]) -> tuple[str, pathlib.Path]:
  """The last stage that trains a policy, and the folder that it began from.

  Where none trains a policy, the last that trains a reward model.

  Raises:
    OptionError: it began from no folder of transformers.
  """
  found = producing(stages, 'policy') or producing(stages, 'reward')
  *_, last = found
  source = last
  while source in stages:
    start = stages[source].start
    source = start.get('policy', start.get('reward'))
  folder = folder_of(source)
  if folder is None or not huggingface.is_folder(folder):
    raise errors.OptionError(
      f'--export lays a model out as the folder that it began from, and '
      f'{last!r} began from none; begin from one, as --set model=DIR does'
    )
  return last, pathlib.Path(folder)


def _without_bias(params):
  """A reward model's parameters, whose head has no bias.

  ForSequenceClassification has no place for it, and it changes no preference.
  """
  bias = np.asarray(params['head']['bias'])
  if not bias.any():
    return params
  numbers = ', '.join(f'{x:.4g}' for x in bias)
  print(
    f'left out: the bias of the head, {numbers}, which transformers has no '
    'place for; scores are less by it there',
    file=sys.stderr,
  )
  head = params['head'] | {'bias': np.zeros_like(bias)}
  return params | {'head': head}


def _parameters(stage: pathlib.Path) -> pathlib.Path:
  """The folder of a stage's parameters.

  Raises:
    OptionError: there is none.
  """
  for folder in (stage / 'params', stage):
    if seals.sealed(folder):
      return folder
  raise errors.OptionError(
    f'{stage} holds no trained parameters; name the folder of a stage that is '
    'done'
  )


def _role(like, stage, given):
  """The role whose parameters are written.

  Raises:
    OptionError: it is not said, or is none of them.
  """
  found = [role for role in ROLES if role in like]
  if given is None and len(found) == 1:
    return found[0]
  if given not in like:
    raise errors.OptionError(
      f'{stage} has the parameters of {", ".join(like)}; say which '
      'of them with --role'
    )
  return given
