"""Whether the models that an experiment is given are what its roles need."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from rlhf_jax import progress, sharding
from rlhf_jax.data import chat_templates, tokens
from rlhf_jax.experiment import definition, store
from rlhf_jax.experiment.stage_models import SCALARS, TEXT_READERS
from rlhf_jax.experiment.trained import Trained
from rlhf_jax.models import huggingface
from rlhf_jax.stages import (
  POLICIES,
  Ensemble,
  Frozen,
  Pretrained,
  Stage,
  folder_of,
  name_of,
  parameter_sources,
  playing,
  role_of,
  sources,
)
from rlhf_jax.storage import seals
from rlhf_jax.types.calls import shown


def check_given(
  trained: Trained,
  measured: Mapping[str, Any],
  scored_by: Frozen | None = None,
) -> None:
  """Refuses folders that hold no such parameters as are taken from them.

  Adapters of what starts afresh, or of another rank than it has, too.

  Args:
    measured: {name: its PolicyVariant} of all that is measured.
    scored_by: what scores them, where the evaluation says it.

  Raises:
    ExperimentError: naming the stage, the folder and the first difference.
  """
  for reward in trained.text_rewards():
    reward.check()
  taken = {
    f'{name!r} takes its policy': variant.policy
    for name, variant in measured.items()
  } | {
    f'evaluation.scored_by takes its {words}': source
    for words, source in sources(scored_by, 'reward').items()
  }
  for words, source in taken.items():
    if folder := folder_of(source):
      model = trained.models(source).policy
      _check_held(
        trained, f'{words} from {folder}, which', folder, 'policy', model
      )
  for name, stage in trained.stages.items():
    _check_alike(trained, name, stage)
    _check_reading(trained, name, stage)
    if isinstance(stage, Stage) and stage.lora is not None:
      if stage.features is not None:
        raise definition.ExperimentError(
          f'stages.{name}.lora: features of a trunk that stays are kept, so '
          'it has no adapters; leave lora out'
        )
      trained.abstract_params(name)
    for words, source in parameter_sources(stage).items():
      folder, role = folder_of(source), role_of(words)
      if role == 'critic':
        _check_critic(trained, name, source)
      if folder is None:
        continue
      who = f'stage {name!r} takes its {role} from {folder}, which'
      model = trained.models(name).policy
      if role not in POLICIES:
        model = trained.scalar(folder, role)
      elif words.startswith('frozen reward'):
        model = trained.models(source).policy
      reads_text = _reads_text(trained, name, words)
      _check_held(trained, who, folder, role, model, reads_text)


def _reads_text(trained, name, words):
  """Whether what is taken for such a role has a tokenizer of its own."""
  if not words.startswith('starting'):
    return role_of(words) in TEXT_READERS
  if trained.stages[name].produces not in TEXT_READERS:
    return False
  return _reads_rows(trained, name)


def _reads_rows(trained, name):
  """Whether a stage trains what reads whole rows; a writer of text is none."""
  return any(role in SCALARS for role in trained.abstract_params(name))


def _check_held(trained, who, folder, role, model, reads_text=False):
  """Whether a folder is whole, and has the parameters of a model."""
  _check_folder(trained, folder, who, reads_text)
  try:
    there = _shapes(playing(trained.abstract_params(folder), role))
  except ValueError as e:
    raise definition.ExperimentError(f'{who} holds another model: {e}') from e
  here = _shapes(jax.eval_shape(model.init, jax.random.key(0)))
  for leaf, shape in here.items():
    # How many attributes are scored is the method's to say.
    if role == 'attributes' and leaf.startswith('head'):
      continue
    if there.get(leaf) != shape:
      found = there.get(leaf, 'not there')
      raise definition.ExperimentError(
        f'{who} holds another model: {leaf} is {found}, and {shape} in '
        f'the {role} of the stage'
      )


def _check_alike(trained, name, stage):
  """Whether models that are read as one are of one config."""
  reference = stage.frozen.get('reference')
  if isinstance(stage, Stage) and isinstance(reference, str | Pretrained):
    own = trained.config(stage.start.get('policy'), 'policy')
    if trained.config(reference, 'policy') != own:
      raise definition.ExperimentError(
        f'stage {name!r} trains another model than its reference '
        f'{name_of(reference)} is; give '
        f'stages.{name}.frozen.reference what the policy starts from'
      )
  reward = stage.frozen.get('reward')
  ensemble = isinstance(reward, Ensemble)
  if ensemble and not _of_one_vocabulary(trained, reward.members):
    raise definition.ExperimentError(
      f'the reward of stage {name!r} is an ensemble of models with different '
      'tokenizers, which do not read the same batch; give members of one '
      'tokenizer, which an implicit reward shares with the policy'
    )
  # Both score the responses of one batch.
  scores_batches = isinstance(stage, Stage) and stage.collect is None and reward
  if scores_batches and (
    callable(reward) or not _of_one_vocabulary(trained, [name, reward])
  ):
    raise definition.ExperimentError(
      f'stage {name!r} scores the tokens of its batches as its reward does, '
      'which is a program or has another tokenizer; give '
      f'stages.{name}.frozen.reward a reward model of the same tokenizer'
    )


def _check_reading(trained, name, stage):
  """Whether a stage that says how a head reads has one."""
  if getattr(stage, 'reading', None) is None:
    return
  if not _reads_rows(trained, name):
    raise definition.ExperimentError(
      f'stages.{name}.reading is {shown(stage.reading)}, and what this stage '
      'trains has no head that reads whole rows; leave it none'
    )


def _check_critic(trained, name, source):
  """Whether a critic can read what the policy writes, token by token."""
  if not _of_one_vocabulary(trained, [source], trained.tokenizer):
    raise definition.ExperimentError(
      f'stage {name!r} takes its critic from '
      f'{name_of(source)!r}, which has another tokenizer than '
      "the policy; leave it out of the start, as in start={'policy': 'sft'}, "
      'and a critic is drawn anew'
    )


def _of_one_vocabulary(trained, sources, *tokenizers):
  """Whether reward models read the same ids, which tokenizers give too."""
  folders = [trained.origin(source, 'reward') for source in sources]
  found = [
    trained.tokenizer if folder is None else tokens.load(folder)
    for folder in folders
  ]
  first, *others = [t.vocabulary for t in (*found, *tokenizers)]
  return all(other == first for other in others)


def _check_folder(trained, folder, who, reads_text):
  """Whether a folder is whole, and its model can read what it is given."""
  if not huggingface.is_folder(folder):
    _check_finished(trained, pathlib.Path(folder), who, reads_text)
    return
  huggingface.open_folder(folder)
  tokenizer = tokens.load(folder)
  if reads_text:
    chat_templates.of(tokenizer)
  elif tokenizer.vocabulary != trained.tokenizer.vocabulary:
    raise definition.ExperimentError(
      f'{who} has another tokenizer than the data; give data.tokenizer this '
      'folder or, where it is no policy, start from another model'
    )


def _check_finished(trained, folder, who, reads_text):
  """Whether a finished stage's parameters are whole, and read our ids."""
  try:
    seals.verify(folder, delete=folder)
  except seals.DamagedError as e:
    raise definition.ExperimentError(
      f'{who} holds neither the config.json of a model nor finished '
      f'parameters, as OUT/stages/STAGE/{store.PARAMS} does, or is damaged'
    ) from e
  if (folder / store.READING).exists():
    raise definition.ExperimentError(
      f'{who} holds a reward model that reads other than the last token '
      f'({store.READING}), as of a folder alone is read; name the stage '
      'that trains it'
    )
  read = store.vocabulary_of(folder)
  if read is None:
    progress.say(
      f'warning: {who} does not say which tokenizer it was trained with, as '
      'those of an earlier version; it is taken for that of the data',
      trained.folders.console,
    )
  elif read != store.ids_of(trained.tokenizer):
    other = 'start from another model'
    if reads_text:
      other = (
        'write it as a folder of transformers, python -m '
        'launch.export_weights, which is read by its own'
      )
    raise definition.ExperimentError(
      f'{who} was trained with another tokenizer than the data has; give '
      f'data.tokenizer that one or {other}'
    )


def _shapes(params):
  return {
    sharding.leaf_path(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
