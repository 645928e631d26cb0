"""An experiment that is ready to run: its data, folders and parameters."""

import dataclasses
import functools
import zlib
from collections.abc import Sequence
from typing import Any, TextIO

import jax

from rlhf_jax import progress
from rlhf_jax.data import names
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment import definition, store
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.models import assembled
from rlhf_jax.experiment.text_reading import TextReward
from rlhf_jax.experiment.trained import Trained
from rlhf_jax.feedback import scoring
from rlhf_jax.stages import DatasetStage, Frozen, Learnt, members
from rlhf_jax.training.metrics import MetricsWriter
from rlhf_jax.types import Models, Params


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
  writers: Sequence[MetricsWriter] = ()
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
      decode = corpus.tokenizer.decode_all
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

  def scored_by(self, reward: Frozen | None, data: Data) -> Frozen | None:
    """What scores responses in the ids of `data` by a reward.

    The reward itself or, where its tokenizer is another, a Reward of text.
    """
    if not isinstance(reward, Learnt):
      return reward
    trained = self.trained
    own = trained.read_by(data, reward, 'reward')
    if own is data:
      return reward
    scorer = trained.scorer(reward)

    def score(batch):
      return scorer({'reward': trained.kept(reward, 'reward')}, batch)

    each = [trained.config(one, 'reward').longest for one in members(reward)]
    longest = min((one for one in each if one is not None), default=None)
    return TextReward(' + '.join(members(reward)), own, score, longest)

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
