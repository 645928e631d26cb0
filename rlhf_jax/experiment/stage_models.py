"""Which model a stage or a folder has in a role, by what it begins from."""

import dataclasses
from collections.abc import Mapping

from rlhf_jax.data.tokenizer import Tokenizer
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.models import roles
from rlhf_jax.feedback import scoring
from rlhf_jax.models import (
  Reading,
  TransformerConfig,
  huggingface,
  last_token,
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
  Start,
  folder_of,
)
from rlhf_jax.types import Models, ScalarModel, Scorer

# What a scoring model goes on from; else it has the trunk of a policy.
SCALARS = ('reward', 'ranker', 'attributes')
# What may have a tokenizer of its own: it reads what policies wrote as text.
TEXT_READERS = ('reward', 'unscaled_reward', 'ranker', 'attributes')
# Taken from the experiment's model for models in folders too.
PRECISION = ('param_dtype', 'compute_dtype', 'attention_core', 'remat')


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StageModels:
  """The models of an experiment's stages, without their parameters.

  Attributes:
    stages: of the experiment, by name.
    model: the experiment's, of all that says no other.
    tokenizer: of the policies.
  """

  stages: Mapping[str, AnyStage]
  model: TransformerConfig
  tokenizer: Tokenizer

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
