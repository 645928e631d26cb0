"""An experiment that is ready to run: its data, folders and parameters."""

import contextlib
import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import jax

from rlhf_jax import progress, sharding
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment import definition, store, validation
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.models import assembled, roles
from rlhf_jax.models import PARTITION_RULES
from rlhf_jax.stages import (
  AnyStage,
  DatasetStage,
  Ensemble,
  Frozen,
  Stage,
  is_folder,
  parameter_sources,
  playing,
)
from rlhf_jax.storage import seals
from rlhf_jax.training import checkpoints
from rlhf_jax.training.metrics import Writer
from rlhf_jax.types import Models, Params

# The roles that are language models; others score.
POLICIES = ('policy', 'reference')


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
  """What the finished stages of an experiment trained.

  Attributes:
    stages: of the experiment, by name.
    roles: the models by role, all of the experiment's size.
    folders: where the stages are.
    mesh: where parameters live.
    loaded: parameters by stage, as long as something needs them.
  """

  stages: Mapping[str, AnyStage]
  roles: Models
  folders: store.Folders
  mesh: jax.sharding.Mesh
  loaded: dict[str, Params]

  @contextlib.contextmanager
  def while_needed(self) -> Iterator[None]:
    """Drops at its end what was loaded in the block."""
    before = dict(self.loaded)
    try:
      yield
    finally:
      self.loaded.clear()
      self.loaded.update(before)

  def frozen(self, stage: AnyStage) -> dict[str, Params]:
    """The parameters that a stage keeps as they are, by role."""
    return {
      role: self.params(source, role)
      for role, source in stage.frozen.items()
      if isinstance(source, str | Ensemble)
    }

  def params(self, stage: str | Ensemble, role: str) -> Params:
    """What a finished stage trained, or a folder holds, that plays `role`.

    Of an ensemble a tuple, its members' in their order.
    """
    if isinstance(stage, Ensemble):
      return tuple(self.params(member, role) for member in stage.members)
    if stage not in self.loaded:
      like = self.abstract_params(stage)
      placed = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        like,
        sharding.shardings(like, PARTITION_RULES, self.mesh),
      )
      self.loaded[stage] = self._load(stage, placed)
    return self._playing(stage, self.loaded[stage], role)

  def _load(self, stage, placed):
    if is_folder(stage):
      return checkpoints.load_params(pathlib.Path(stage), placed)
    with self.folders.lock(stage).share():
      return checkpoints.load_params(
        self.folders[stage].path / store.PARAMS, placed
      )

  def abstract_params(self, name: str) -> Params:
    """Shapes of what a stage trains, or of what a folder holds."""
    if is_folder(name):
      return checkpoints.abstract_params(pathlib.Path(name))
    stage = self.stages[name]
    start = {
      role: self._playing(earlier, self.abstract_params(earlier), role)
      for role, earlier in stage.start.items()
      if earlier is not None
    }
    return jax.eval_shape(self.initialiser(stage), jax.random.key(0), start)

  def _playing(self, source, params, role):
    """What of a stage's or a folder's params is taken for a role."""
    produces = 'policy' if 'policy' in params else 'reward'
    if not is_folder(source):
      produces = self.stages[source].produces
    return playing(params, role, produces)

  def check_given(self) -> None:
    """Refuses folders that hold no such parameters as stages take from them.

    Raises:
      ExperimentError: naming the stage, the folder and the first difference.
    """
    for name, stage in self.stages.items():
      for words, folder in parameter_sources(stage).items():
        if not is_folder(folder):
          continue
        role = validation.role_of(words)
        who = f'stage {name!r} takes its {role} from {folder}, which'
        try:
          seals.verify(pathlib.Path(folder), delete=pathlib.Path(folder))
        except seals.DamagedError as e:
          raise definition.ExperimentError(
            f'{who} is no whole folder of finished parameters; give one such '
            f'as OUT/stages/STAGE/{store.PARAMS}'
          ) from e
        held = self.abstract_params(folder)
        there = _shapes(self._playing(folder, held, role))
        model = self.roles.policy if role in POLICIES else self.roles.reward
        here = _shapes(jax.eval_shape(model.init, jax.random.key(0)))
        for leaf, shape in here.items():
          # How many attributes are scored is the method's to say.
          if role == 'attributes' and leaf.startswith('head'):
            continue
          if there.get(leaf) != shape:
            found = there.get(leaf, 'not there')
            raise definition.ExperimentError(
              f'{who} holds another model: {leaf} is {found}, and {shape} in a '
              f"{role} of the experiment's size"
            )

  def initialiser(self, stage: Stage) -> Callable[..., Params]:
    """(key, start) -> params of a stage."""
    return functools.partial(stage.init, models=self.roles, config=stage.config)


def _shapes(params):
  return {
    sharding.leaf_path(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Run:
  """An experiment that is ready to run.

  Attributes:
    experiment: what is run.
    folders: where its stages are kept.
    corpus: what its source gave.
    mesh: where arrays live.
    console: where progress is printed.
    writers: further places that metrics go to.
    loaded: parameters by stage, as of `Trained`.
  """

  experiment: definition.Experiment
  folders: store.Folders
  corpus: Corpus
  mesh: jax.sharding.Mesh
  console: TextIO
  writers: Sequence[Writer] = ()
  loaded: dict[str, Params] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def data(self) -> Data:
    """The datasets, and how text becomes batches."""
    stages = self.experiment.stages
    return Data(
      corpus=self.corpus,
      written={
        name: self.folders[name]
        for name, stage in stages.items()
        if isinstance(stage, DatasetStage)
      },
      limits=self.experiment.limits,
      mesh=self.mesh,
      max_rows=self.experiment.max_rows,
      console=self.console,
    )

  @functools.cached_property
  def trained(self) -> Trained:
    """The models, and what finished stages trained."""
    model = self.experiment.model
    absent = self.corpus.tokenizer.absent_ids(model.vocab_size)
    return Trained(
      stages=self.experiment.stages,
      roles=roles(model, absent),
      folders=self.folders,
      mesh=self.mesh,
      loaded=self.loaded,
    )

  def key(self, purpose: str) -> jax.Array:
    """The key of a stage or of another purpose, by its name."""
    run = jax.random.key(self.experiment.seed)
    return jax.random.fold_in(run, zlib.crc32(purpose.encode()))

  def models(
    self, reward: Frozen | None = None, records: Sequence[Any] = ()
  ) -> Models:
    """The models by role; `reward` and `records` say how scores are made."""
    return assembled(
      self.trained.roles,
      self.corpus.tokenizer,
      self.corpus.template,
      reward=reward,
      records=records,
      max_response=self.experiment.limits.max_response_tokens,
    )

  def tell(self, who: str, words: str) -> None:
    """Prints a line about a stage, or about `who` else it is."""
    progress.say(f'{who:>13}  {words}', self.console)

  def tell_counts(self, who: str, counts: Counts) -> dict[str, int]:
    """Prints what was cut or left out of data; returns it by name."""
    facts = {k: v for k, v in counts._asdict().items() if v}
    if facts:
      limits = self.experiment.limits
      at = {
        'truncated_prompts': f' at {limits.max_prompt_tokens} tokens',
        'dropped_prompts': f' of more than {limits.max_prompt_tokens} tokens',
        'truncated_responses': f' at {limits.max_response_tokens} tokens',
      }
      words = (
        f'{v} {k.replace("_", " ")}{at.get(k, "")}' for k, v in facts.items()
      )
      self.tell(who, ', '.join(words))
    return facts
