"""An experiment being run: its data, models, folders, and what stages made."""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax import sharding
from rlhf_jax.data.collation import collate
from rlhf_jax.data.encoding import (
  Counts,
  Example,
  decoded,
  encode,
  encode_all,
)
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment import definition, locks, records, store
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.experiment.models import assembled, roles
from rlhf_jax.generation import rollouts as generation
from rlhf_jax.models import (
  PARTITION_RULES,
)
from rlhf_jax.stages import DatasetStage, Ensemble, Stage, names
from rlhf_jax.training import checkpoints
from rlhf_jax.training.metrics import Writer
from rlhf_jax.types import (
  Models,
  Params,
  Prompt,
  Prompts,
  Response,
  Rollouts,
)

RULES = PARTITION_RULES


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
  """What every stage of a run needs to know.

  Attributes:
    experiment: what is run.
    addresses: each stage's folder name.
    settings: the same of what the experiment says alone, whatever the code.
    stages_dir: where stage folders are.
    corpus: the datasets and how text becomes tokens.
    mesh: where arrays live.
    console: where progress is printed.
    writers: further places that metrics go to.
    loaded: parameters of finished stages that were asked for already.
  """

  experiment: definition.Experiment
  addresses: Mapping[str, str]
  settings: Mapping[str, str]
  stages_dir: pathlib.Path
  corpus: Corpus
  mesh: jax.sharding.Mesh
  console: TextIO
  writers: Sequence[Writer] = ()
  loaded: dict[str, Params] = dataclasses.field(default_factory=dict)

  def apart(self) -> 'Chain':
    """The same; what is loaded of it goes as it does."""
    return dataclasses.replace(self, loaded=dict(self.loaded))

  def folder(self, stage: str) -> store.Folder:
    return store.Folder(self.stages_dir / self.addresses[stage])

  def key(self, purpose: str) -> jax.Array:
    """The key of a stage or of another purpose, by its name."""
    run = jax.random.key(self.experiment.seed)
    return jax.random.fold_in(run, zlib.crc32(purpose.encode()))

  def records(self, data: str | tuple[str, ...]) -> Sequence[Any]:
    """The records of a dataset, or of several one after the other."""
    if isinstance(data, str):
      return self._dataset(data)
    return [record for name in names(data) for record in self._dataset(name)]

  def _dataset(self, dataset: str) -> Sequence[Any]:
    """A dataset by its name: the source's, or one that a stage wrote."""
    if dataset in self.corpus.datasets:
      return self.corpus.datasets[dataset]
    writers = [
      name
      for name, stage in self.experiment.stages.items()
      if isinstance(stage, DatasetStage)
    ]
    if dataset in writers:
      return records.read(self.folder(dataset).records())
    there = [*self.corpus.datasets, *writers]
    raise ExperimentError(
      f'there is no dataset {dataset!r}; there are {", ".join(there)}'
    )

  def encode(self, records: Sequence[Any]) -> tuple[list[Example], Counts]:
    """Records to learn from as token ids, and what was cut or left out."""
    corpus, limits = self.corpus, self.experiment.limits
    return encode(records, corpus.tokenizer, corpus.template, limits)

  def encode_all(self, records: Sequence[Any]) -> tuple[list[Example], Counts]:
    """Records to score or to answer: all but those that the limits drop."""
    corpus, limits = self.corpus, self.experiment.limits
    return encode_all(records, corpus.tokenizer, corpus.template, limits)

  def batch(
    self,
    examples: Sequence[Example],
    rows: int,
    candidates: int | None = None,
    limits: Limits | None = None,
  ) -> Any:
    """Examples on the mesh, the last repeated until there are `rows`.

    Padded within the experiment's limits, unless others are given.
    """
    filled = [*examples, *[examples[-1]] * (rows - len(examples))]
    return sharding.place_batch(
      collate(
        filled,
        pad_id=self.corpus.tokenizer.pad_id,
        limits=limits or self.experiment.limits,
        candidates=candidates,
      ),
      self.mesh,
    )

  def at_a_time(self, most: int, rows: int) -> int:
    """How many prompts of so many rows each: `most`, or as max_rows has it.

    A number that the devices share evenly, where max_rows says it.
    """
    if most * rows <= self.experiment.max_rows:
      return most
    devices = sharding.batch_devices(self.mesh)
    each = self.experiment.max_rows // rows // devices
    return min(most, devices * max(1, each))

  def prompts(
    self, examples: Sequence[Example], first: int, rows: int
  ) -> Prompts:
    """What examples ask, on the mesh, numbered from `first`, `rows` of them."""
    asked = [
      e._replace(
        record=e.prompt, response_ids=(), target_ids=None, reference_logps=None
      )
      for e in examples
    ]
    index = first + jnp.arange(rows, dtype=jnp.int32)
    return self.batch(asked, rows).replace(index=index)

  def frozen(self, stage: Stage | DatasetStage) -> dict[str, Params]:
    """The parameters that a stage keeps as they are, by role.

    Those of an ensemble are a tuple.
    """
    found = {}
    for role, source in stage.frozen.items():
      if isinstance(source, str):
        found[role] = self.params(source, role)
      elif isinstance(source, Ensemble):
        found[role] = self.reward_params(source)
    return found

  def reward_params(self, reward: str | Ensemble) -> Params:
    """A reward model's parameters; those of an ensemble, a tuple."""
    if isinstance(reward, str):
      return self.params(reward, 'reward')
    return tuple(self.params(name, 'reward') for name in reward.members)

  def models(
    self, frozen: Mapping[str, Any] | None = None, records: Sequence = ()
  ) -> Models:
    """The models of a stage; `frozen` and `records` say how scores are made."""
    return assembled(
      self.roles,
      self.corpus.tokenizer,
      self.corpus.template,
      reward=(frozen or {}).get('reward'),
      records=records,
      max_response=self.experiment.limits.max_response_tokens,
    )

  def texts(self, rollouts: Rollouts) -> list[list[str]]:
    """The plain text of every response of rollouts: B lists of K."""
    return generation.response_texts(rollouts, self.corpus.tokenizer.decode)

  def responses(
    self, prompts: Sequence[Prompt], rollouts: Rollouts
  ) -> list[list[Response]]:
    """What was answered to the first N prompts of rollouts: N lists of K."""
    corpus = self.corpus
    tokens, mask = map(np.asarray, rollouts.responses)
    rows = zip(prompts, tokens, mask, np.asarray(rollouts.ended), strict=False)
    return [
      [
        decoded(
          ids[kept].tolist(), ended, prompt, corpus.tokenizer, corpus.template
        )
        for ids, kept, ended in zip(*candidates, strict=True)
      ]
      for prompt, *candidates in rows
    ]

  def params(self, stage: str, role: str) -> Params:
    """What a finished stage gives for a role, as of `Stage.playing`."""
    if stage not in self.loaded:
      like = self.abstract_params(stage)
      placed = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        like,
        sharding.shardings(like, RULES, self.mesh),
      )
      with locks.shared(
        self.stages_dir, self.addresses[stage], who=stage, console=self.console
      ):
        self.loaded[stage] = checkpoints.load_params(
          self.folder(stage).path / store.PARAMS, placed
        )
    return self.experiment.stages[stage].playing(self.loaded[stage], role)

  def abstract_params(self, name: str) -> Params:
    """Shapes of what a stage trains."""
    stage = self.experiment.stages[name]
    start = {
      role: self.experiment.stages[earlier].playing(
        self.abstract_params(earlier), role
      )
      for role, earlier in stage.start.items()
    }
    return jax.eval_shape(self.initialiser(stage), jax.random.key(0), start)

  def initialiser(self, stage: Stage) -> Callable[..., Params]:
    """(key, start) -> params of a stage."""
    return functools.partial(stage.init, models=self.roles, config=stage.config)

  @functools.cached_property
  def roles(self) -> Models:
    """The models of the experiment's size, for the tokens of its tokenizer."""
    model = self.experiment.model
    absent = self.corpus.tokenizer.absent_ids(model.vocab_size)
    return roles(model, absent)


def print_counts(chain: Chain, name: str, counts: Counts) -> dict[str, int]:
  """Prints what was cut or left out of a stage's data; returns it by name."""
  facts = {k: v for k, v in counts._asdict().items() if v}
  said = ', '.join(f'{v} {k.replace("_", " ")}' for k, v in facts.items())
  if said:
    print(f'{name:>13}  {said}', file=chain.console, flush=True)
  return facts
