"""The parameters that finished stages trained, and that folders hold."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Container, Iterator
from typing import Any

import jax

from rlhf_jax import sharding
from rlhf_jax.experiment import definition, store
from rlhf_jax.experiment.pretrained import PretrainedReward
from rlhf_jax.experiment.stage_models import StageModels
from rlhf_jax.models import PARTITION_RULES, as_computed, huggingface, lora
from rlhf_jax.stages import (
  AnyStage,
  Ensemble,
  Frozen,
  ImplicitReward,
  Learnt,
  Pretrained,
  Stage,
  Start,
  folder_of,
  name_of,
  part,
)
from rlhf_jax.training import checkpoints
from rlhf_jax.training import state as training
from rlhf_jax.types import Params


def as_they_are(params: Params) -> Params:
  """Parameters in the types that they have."""
  return params


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trained(StageModels):
  """What the finished stages of an experiment trained.

  Attributes:
    folders: where the stages are.
    mesh: where parameters live.
    loaded: parameters by stage, as long as something needs them.
  """

  folders: store.Folders
  mesh: jax.sharding.Mesh
  loaded: dict[str, Params]
  # Of the parameters in a folder of transformers.
  folder_shapes = staticmethod(huggingface.abstract_params)

  @contextlib.contextmanager
  def while_needed(self) -> Iterator[None]:
    """Drops at its end what was loaded in the block."""
    before = {name: dict(params) for name, params in self.loaded.items()}
    try:
      yield
    finally:
      self.loaded.clear()
      self.loaded.update(before)
      for reward in self.text_rewards():
        reward.forget()

  def text_rewards(self) -> list[PretrainedReward]:
    """The reward models of folders that stages learn from."""
    rewards = (stage.frozen.get('reward') for stage in self.stages.values())
    return [r for r in rewards if isinstance(r, PretrainedReward)]

  def frozen(
    self, stage: AnyStage, unread: Container[str] = ()
  ) -> dict[str, Params]:
    """The parameters that a stage keeps as they are, by role, as of `kept`.

    Beside adapters as of `params`: the very arrays of what these adapt.

    Args:
      stage: whose.
      unread: roles that it reads nothing of; they are left out.
    """
    adapted = isinstance(stage, Stage) and stage.lora is not None
    given = self.params if adapted else self.kept
    return {
      role: given(source, role)
      for role, source in stage.frozen.items()
      if isinstance(source, Learnt) and role not in unread
    }

  def params(self, source: Learnt, role: str) -> Params:
    """What a finished stage trained, or a folder holds, that plays `role`.

    Of an ensemble a tuple, its members' in their order; of an implicit reward
    {'policy', 'reference'}, and 'scale' where it has one. Its other roles are
    not read.
    """
    return _of_each(source, role, self._given)

  def kept(self, source: Learnt, role: str) -> Params:
    """As `params`, of what is only computed with: in the type of `computed`."""

    def given(name, role):
      return self._given(name, role, self._computed(name, role))

    return _of_each(source, role, given)

  def computed(
    self, params: Params, source: Start | Frozen | None, role: str
  ) -> Params:
    """Parameters as a source's model computes with them, if that is narrower.

    Whatever is computed with them is the same.
    """
    return self.cast(self._computed(source, role), params)

  def _computed(self, source, role):
    config = self.config(source, role)
    types = config.param_dtype, config.compute_dtype
    if types != ('float32', 'bfloat16'):
      return as_they_are
    return functools.partial(as_computed, config.compute_dtype)

  def cast(self, cast: Callable[[Params], Params], params: Params) -> Params:
    """Parameters in other types, where they lie."""
    return cast(params)

  def _given(self, name, role, cast=as_they_are):
    kind = name if cast is as_they_are else f'{name}, as computed'
    held = self.loaded.setdefault(kind, {})
    whole = self.loaded.get(name, {})
    if role not in whole and role not in held:
      role = self._part(name, self.abstract_params(name), role)
    if role not in held:
      read = role not in whole
      held[role] = (
        self._load(name, role, cast) if read else self.cast(cast, whole[role])
      )
    return held[role]

  def _load(self, name, role, cast):
    """What of a stage's or a folder's params is `role`, read in other types."""
    folder = folder_of(name)
    if folder is not None and huggingface.is_folder(folder):
      dtype = self.model.param_dtype
      _, params = huggingface.read(
        folder, self.mesh, param_dtype=dtype, cast=cast
      )
      return params
    if folder is not None:
      like = self._shapes(self.abstract_params(name), role, cast)
      return checkpoints.load_params(pathlib.Path(folder), like)[role]
    like = self._shapes(self.abstract_trained(name), role, cast)
    with self.folders.lock(name).share():
      trained = checkpoints.load_params(
        self.folders[name].path / store.PARAMS, like
      )
    return self.cast(cast, training.whole(trained, self.base(name))[role])

  def _shapes(self, params, role, cast):
    some = {name: of for name, of in params.items() if name == role}
    return self.placed(jax.eval_shape(cast, some))

  def placed(self, like: Any) -> Any:
    """Shapes, with the shards of each on the mesh."""
    return jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      like,
      sharding.shardings(like, PARTITION_RULES, self.mesh),
    )

  def start(self, name: str) -> dict[str, Params]:
    """The parameters that a stage starts from, by role.

    Their adapters are merged where the stage trains all parameters.
    """
    stage = self.stages[name]
    found = {
      role: self.params(source, role)
      for role, source in stage.start.items()
      if isinstance(source, str | Pretrained)
    }
    return self.merged(found) if stage.lora is None else found

  def merged(self, params: Params) -> Params:
    """Parameters with their adapters merged into what they adapt."""
    return lora.merge(params)

  def base(self, name: str) -> dict[str, Params]:
    """{'base': what a stage with adapters keeps of its own models, by role}.

    The very arrays that it starts from; {} where it trains all parameters.
    """
    stage = self.stages[name]
    if stage.lora is None:
      return {}
    given = lora.handed_on(
      self.initialiser(name), jax.random.key(0), self.start(name)
    )
    return {'base': lora.base(stage.lora, self.abstract_params(name), given)}

  def abstract_params(self, source: str | Pretrained) -> Params:
    """Shapes of what a stage trains, or of what a folder holds, by role."""
    folder = folder_of(source)
    if folder is not None and huggingface.is_folder(folder):
      return self.folder_shapes(folder, param_dtype=self.model.param_dtype)
    if folder is not None:
      return checkpoints.abstract_params(pathlib.Path(folder))
    key, start = jax.random.key(0), self._abstract_start(source)
    init, _ = self._adapted(source, start)
    return jax.eval_shape(init, key, start)

  def abstract_trained(self, name: str) -> Params:
    """Shapes of what a stage moves: of all it trains, or of the adapters."""
    key, start = jax.random.key(0), self._abstract_start(name)
    return jax.eval_shape(self.trainable(name, start), key, start)

  def _abstract_start(self, name):
    stage = self.stages[name]
    start = {
      role: self._playing(earlier, role)
      for role, earlier in stage.start.items()
      if isinstance(earlier, str | Pretrained)
    }
    if stage.lora is not None:
      return start
    return jax.eval_shape(lora.merge, start)

  def _playing(self, source, role):
    params = self.abstract_params(source)
    return params[self._part(source, params, role)]

  def _part(self, source, params, role):
    try:
      return part(params, role)
    except ValueError as e:
      raise definition.ExperimentError(
        f'the {role} is to be that of {name_of(source)}: {e}'
      ) from e

  def initialiser(self, name: str) -> Callable[..., Params]:
    """(key, start) -> params of a stage, without new adapters."""
    stage = self.stages[name]
    return functools.partial(
      stage.init, models=self.models(name), config=stage.config
    )

  def trainable(self, name: str, start: Params) -> Callable[..., Params]:
    """(key, start) -> the params of a stage that its optimizer updates.

    Args:
      name: of the stage.
      start: what its parameters start from, by role.
    """
    init, given = self._adapted(name, start)
    if given is None:
      return init
    return lambda key, start: lora.split(init(key, start), given)[0]

  def _adapted(self, name, start):
    """Initialises params with LoRA adapters, where a stage has them.

    Returns:
      (key, start) -> all params of the stage, and which of them it takes from
      `start`, as `lora.handed_on` has it; None where it has no adapters.
    """
    init, config = self.initialiser(name), self.stages[name].lora
    if config is None:
      return init, None
    given = lora.handed_on(init, jax.random.key(0), start)

    def adapted(key, start):
      init_key, adapter_key = jax.random.split(key)
      params = init(init_key, start)
      try:
        return lora.add(config, adapter_key, params, among=given)
      except ValueError as e:
        raise definition.ExperimentError(f'stages.{name}.lora: {e}') from e

    return adapted, given


def _of_each(source, role, given):
  """given(name, role) of every stage or folder that a source is of."""
  if isinstance(source, Ensemble):
    return tuple(_of_each(one, role, given) for one in source.members)
  if isinstance(source, ImplicitReward):
    return {one: given(name_of(of), one) for one, of in source.models.items()}
  return given(name_of(source), role)
