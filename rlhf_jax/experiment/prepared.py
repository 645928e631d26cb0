"""An experiment that is ready to run: its data, folders and parameters."""

import contextlib
import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, TextIO

import jax

from rlhf_jax import progress, sharding
from rlhf_jax.data import names
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.sources import Corpus
from rlhf_jax.data.tokenizer import Tokenizer
from rlhf_jax.experiment import definition, store
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.models import assembled, roles
from rlhf_jax.experiment.pretrained import PretrainedReward
from rlhf_jax.experiment.text_reading import TextReward
from rlhf_jax.feedback import scoring
from rlhf_jax.models import (
  PARTITION_RULES,
  Reading,
  TransformerConfig,
  as_computed,
  huggingface,
  last_token,
  lora,
  scalar_model,
)
from rlhf_jax.stages import (
  AnyStage,
  DatasetStage,
  Ensemble,
  Fresh,
  Frozen,
  ImplicitReward,
  Learnt,
  Pretrained,
  Stage,
  Start,
  folder_of,
  members,
  part,
)
from rlhf_jax.training import checkpoints
from rlhf_jax.training import state as training
from rlhf_jax.training.metrics import Writer
from rlhf_jax.types import Models, Params, ScalarModel, Scorer

# The roles that are language models; others score.
POLICIES = ('policy', 'reference')
# What a scoring model goes on from; else it has the trunk of a policy.
SCALARS = ('reward', 'ranker', 'attributes')
# What may have a tokenizer of its own: it reads what policies wrote as text.
TEXT_READERS = ('reward', 'unscaled_reward', 'ranker', 'attributes')
# Taken from the experiment's model for models in folders too.
PRECISION = ('param_dtype', 'compute_dtype', 'attention_core', 'remat')


def as_they_are(params: Params) -> Params:
  """Parameters in the types that they have."""
  return params


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
  """What the finished stages of an experiment trained.

  Attributes:
    stages: of the experiment, by name.
    model: the experiment's, of all that says no other.
    tokenizer: of the policies.
    folders: where the stages are.
    mesh: where parameters live.
    loaded: parameters by stage, as long as something needs them.
  """

  stages: Mapping[str, AnyStage]
  model: TransformerConfig
  tokenizer: Tokenizer
  folders: store.Folders
  mesh: jax.sharding.Mesh
  loaded: dict[str, Params]

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

  def models(self, name: str | Pretrained | None = None) -> Models:
    """The models of a stage or of a folder by role; else the experiment's."""
    stage = self.stages.get(name)
    if stage is None:
      return self._roles(self.config(name, 'policy'))
    if isinstance(stage, DatasetStage):
      begins = {} if stage.policy is None else {'policy': stage.policy}
    else:
      begins = dict(stage.start)
    trunk = next((role for role in SCALARS if role in begins), 'policy')
    critic = begins.get('critic', begins.get('policy'))
    return self._roles(
      self.config(begins.get('policy'), 'policy'),
      reward=_cut(self.config(begins.get(trunk), trunk), stage),
      critic=self.config(critic, 'critic'),
      reading=self.reading(name, trunk),
    )

  def _roles(self, model, **others):
    absent = self.tokenizer.absent_ids(model.vocab_size)
    return roles(model, absent, **others)

  def config(
    self, source: Start | Frozen | None, role: str
  ) -> TransformerConfig:
    """The TransformerConfig of what a source trains or holds, in a role.

    A folder's types of parameters and activations, and what it recomputes, are
    the experiment's.
    """
    if isinstance(source, Fresh):
      return source.model
    folder = folder_of(source)
    if folder is not None and huggingface.is_folder(folder):
      return dataclasses.replace(
        huggingface.config_of(folder),
        **{field: getattr(self.model, field) for field in PRECISION},
      )
    stage = self.stages.get(source) if isinstance(source, str) else None
    start, one = _began(stage, role)
    return _cut(self.model if start is None else self.config(start, one), stage)

  def reading(self, source: Start | Frozen | None, role: str) -> Reading:
    """What the head of a source's model in a role reads of a whole row.

    As the stage says or, where it does not, the one that it goes on from.
    """
    stage = self.stages.get(source) if isinstance(source, str) else None
    if stage is None:
      return last_token
    own = getattr(stage, 'reading', None)
    return own or self.reading(*_began(stage, role))

  def scalar(self, source: str | Pretrained, role: str) -> ScalarModel:
    """The model of what a source trains or holds, in a role that scores."""
    reading = self.reading(source, role)
    return scalar_model(self.config(source, role), reading=reading)

  def scorer(self, reward: Learnt) -> Scorer:
    """Scores by a reward, of the parameters that `params` gives of it."""
    if isinstance(reward, Ensemble):
      scorers = tuple(map(self.scorer, reward.members))
      return scoring.ensemble_scorer(scorers, reward.combine)
    if isinstance(reward, ImplicitReward):
      policy, reference = (
        self.models(of).policy for of in (reward.policy, reward.reference)
      )
      return scoring.implicit_scorer(policy, reference, beta=reward.beta)
    return scoring.model_scorer(self.scalar(reward, 'reward'))

  def origin(self, source: Start | Frozen | None, role: str) -> str | None:
    """The folder of transformers that a source's model in a role began as."""
    if isinstance(source, Ensemble):
      source = source.members[0]
    folder = folder_of(source)
    if folder is not None:
      return folder if huggingface.is_folder(folder) else None
    if not isinstance(source, str):
      return None
    return self.origin(*_began(self.stages.get(source), role))

  def read_by(self, data: Data, source: Frozen | None, role: str) -> Data:
    """The data in the ids of a source's model in a role: see `Data`."""
    folder = self.origin(source, role) if role in TEXT_READERS else None
    return data if folder is None else data.read_by(folder)

  def scored_by(self, reward: Frozen | None, data: Data) -> Frozen | None:
    """What scores responses in the ids of `data` by a reward.

    The reward itself or, where its tokenizer is another, a Reward of text.
    """
    if not isinstance(reward, Learnt):
      return reward
    own = self.read_by(data, reward, 'reward')
    if own is data:
      return reward
    scorer = self.scorer(reward)

    def score(batch):
      return scorer({'reward': self.kept(reward, 'reward')}, batch)

    each = [self.config(one, 'reward').longest for one in members(reward)]
    longest = min((one for one in each if one is not None), default=None)
    return TextReward(' + '.join(members(reward)), own, score, longest)

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
    role = role if role in {**whole, **held} else self._part(name, role)
    if role not in held:
      if role in whole:
        held[role] = self.cast(cast, whole[role])
      else:
        held[role] = self._load(name, role, cast)
    return held[role]

  def _part(self, name, role):
    return self._playing(name, self.abstract_params(name), role)

  def _load(self, name, role, cast):
    """What of a stage's or a folder's params is `role`, read in other types."""
    folder = folder_of(name)
    if folder is not None and huggingface.is_folder(folder):
      dtype = self.model.param_dtype
      _, params = huggingface.read(
        folder, self.mesh, PARTITION_RULES, param_dtype=dtype, cast=cast
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
    """Shapes of what a stage trains, or of what a folder holds."""
    folder = folder_of(source)
    if folder is not None and huggingface.is_folder(folder):
      params = huggingface.abstract_params(
        folder, param_dtype=self.model.param_dtype
      )
      return {_held(params): params}
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
      role: self.playing(earlier, self.abstract_params(earlier), role)
      for role, earlier in stage.start.items()
      if isinstance(earlier, str | Pretrained)
    }
    if stage.lora is not None:
      return start
    return jax.eval_shape(lora.merge, start)

  def playing(
    self, source: str | Pretrained, params: Params, role: str
  ) -> Params:
    """What of a stage's or a folder's params is taken for a role."""
    return params[self._playing(source, params, role)]

  def _playing(self, source, params, role):
    produces = 'policy' if 'policy' in params else 'reward'
    if folder_of(source) is None:
      produces = self.stages[source].produces
    return part(params, role, produces)

  def initialiser(self, name: str) -> Callable[..., Params]:
    """(key, start) -> params of a stage, without new adapters."""
    stage = self.stages[name]
    return functools.partial(
      stage.init, models=self.models(name), config=stage.config
    )

  def trainable(self, name: str, start: Params) -> Callable[..., Params]:
    """(key, start) -> what of a stage's params is moved; as of `start`."""
    init, given = self._adapted(name, start)
    if given is None:
      return init
    return lambda key, start: lora.split(init(key, start), given)[0]

  def _adapted(self, name, start):
    """(key, start) -> all params of a stage; what `start` hands on of them.

    None is handed on where the stage has no adapters.
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
    parts = ('policy', 'reference', 'scale')
    found = {name: getattr(source, name) for name in parts}
    return {name: given(_name(of), name) for name, of in found.items() if of}
  return given(_name(source), role)


def _name(source):
  return folder_of(source) or source


def _began(stage, role):
  """What a stage's model in a role starts from, in which role; (None, role)."""
  start = getattr(stage, 'start', {})
  for one in (role, getattr(stage, 'produces', role), *SCALARS, 'policy'):
    if one in start:
      return start[one], one
  return None, role


def _cut(config, stage):
  """The config of a trunk of which a stage takes the first layers."""
  layers = getattr(getattr(stage, 'config', None), 'trunk_layers', None)
  return config if layers is None else config.first(layers)


def _held(params):
  """What the parameters of a folder of transformers are."""
  return 'reward' if 'trunk' in params else 'policy'


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
    return Trained(
      stages=self.experiment.stages,
      model=self.experiment.model,
      tokenizer=self.corpus.tokenizer,
      folders=self.folders,
      mesh=self.mesh,
      loaded=self.loaded,
    )

  def key(self, purpose: str) -> jax.Array:
    """The key of a stage or of another purpose, by its name."""
    run = jax.random.key(self.experiment.seed)
    return jax.random.fold_in(run, zlib.crc32(purpose.encode()))

  def models(
    self,
    reward: Frozen | None = None,
    records: Sequence[Any] = (),
    *,
    stage: str | None = None,
  ) -> Models:
    """The models of a stage by role, or the experiment's own.

    `reward` and `records` say how scores are made.
    """
    corpus, scorer = self.corpus, None
    if callable(reward):
      decode = corpus.tokenizer.decode
      scorer = scoring.text_scorer(reward, records, decode)
    elif reward is not None:
      scorer = self.trained.scorer(reward)
    return assembled(
      self.trained.models(stage),
      corpus.tokenizer,
      corpus.template,
      scorer=scorer,
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
        said + at.get(k, '')
        for k, said in zip(facts, names.amounts(facts), strict=True)
      )
      self.tell(who, ', '.join(words))
    return facts
