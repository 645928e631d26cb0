"""Where the parameters of a stage come from, and what scores, as data."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import chex

from rlhf_jax.types import Reward
from rlhf_jax.types.rules import Positive
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True)
@checked
class Pretrained:
  """A model in a folder: of transformers, or a finished stage's `params`.

  A text with a slash, 'models/smollm2', stands for one too.

  Attributes:
    folder: its path.
  """

  folder: str


IMPLICIT = ('policy', 'reference', 'scale')  # The models of an ImplicitReward.


@dataclasses.dataclass(frozen=True)
@checked
class ImplicitReward:
  """A policy that is read as a reward: no learner, and no head.

  r(x, y) = β Σₜ [log π(yₜ | x, y₍<ₜ₎) − log π_ref(yₜ | x, y₍<ₜ₎)] over the
  response, its end-of-text included. Of a policy that DPO trained it is the
  reward which DPO has fitted, up to a shift of each prompt.

  Attributes:
    policy: the earlier stage that trained π, or its folder.
    reference: likewise π_ref, which is what that stage kept as its reference.
    beta: β, in reward units per nat; DPO's, for the odds that it has fitted.
    scale: the earlier stage that has matched its scores to another reward's, of
      methods.rlp.scale; None to take them as they are.

  Source: Rafailov et al. 2023, eq. 5.
  """

  policy: str | Pretrained
  reference: str | Pretrained
  beta: Positive
  scale: str | None = None

  @property
  def models(self) -> dict[str, str | Pretrained]:
    """Where each model comes from, by role."""
    found = {role: getattr(self, role) for role in IMPLICIT}
    return {role: source for role, source in found.items() if source}


@dataclasses.dataclass(frozen=True)
@checked
class Ensemble:
  """Several rewards that score as one.

  Attributes:
    members: the earlier stages that trained them, or policies that are read as
      rewards.
    combine: scores [E, ...] -> scores [...], of kernels.ensembles.
  """

  members: tuple[str | ImplicitReward, ...]
  combine: Callable[[chex.Array], chex.Array]


@dataclasses.dataclass(frozen=True)
@checked
class Fresh:
  """A model of a size of its own, drawn anew.

  Attributes:
    model: its `models.TransformerConfig`.
  """

  model: Any


# Where a role's parameters come from: an earlier stage, a folder, or a size to
# draw them anew at.
Start = str | Pretrained | Fresh
# What is kept as it is and has parameters: an earlier stage's, or those in a
# folder; as a reward also those of a policy, or of several rewards together.
Learnt = str | Pretrained | ImplicitReward | Ensemble
# Or a program that scores text.
Frozen = Learnt | Reward


def folder_of(source: Any) -> str | None:
  """The folder that parameters are given by, with a slash; None of others."""
  given = source.folder if isinstance(source, Pretrained) else source
  if not isinstance(given, str) or (given is source and '/' not in given):
    return None
  path = os.path.normpath(given)
  return path if '/' in path else f'./{path}'


def name_of(source: Any) -> Any:
  """The folder that parameters are given by, or else the stage."""
  return folder_of(source) or source


def members(reward: Frozen | None) -> tuple[Frozen, ...]:
  """The rewards that an ensemble is of; others are of themselves alone."""
  if reward is None:
    return ()
  return reward.members if isinstance(reward, Ensemble) else (reward,)


def sources(kept: Frozen | None, words: str) -> dict[str, str | Pretrained]:
  """{words: where from} of the parameters of what is kept; {} of programs.

  The members of an ensemble go by 'WORDS 0' and so on, the models of an
  implicit reward by "WORDS's policy", "WORDS's reference", "WORDS's scale".
  """
  if isinstance(kept, Ensemble):
    found = {}
    for number, member in enumerate(kept.members):
      found |= sources(member, f'{words} {number}')
    return found
  if isinstance(kept, ImplicitReward):
    return {f"{words}'s {role}": of for role, of in kept.models.items()}
  return {words: kept} if isinstance(kept, str | Pretrained) else {}
