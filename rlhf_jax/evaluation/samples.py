"""A policy's responses to prompts, with their scores, KL and lengths."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rlhf_jax.types import Prompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicySamples:
  """N responses of one policy, row by row; plain text and numpy.

  Several samples of a prompt are several rows that repeat the prompt. Policies
  are compared row by row, so those to be compared hold the same prompts in the
  same order.

  Attributes:
    name: the policy, as results call it.
    prompts: N prompts.
    responses: N texts.
    lengths: [N] tokens of each response, end-of-text included.
    ended: [N] bool, True where the response closed with end-of-text.
    gold: [N] gold reward, or None where no truth is known. Here and below a
      response without such a number has NaN; None becomes it.
    score: [N] the score of the reward that is learnt from, or None.
    kl: [N] log-ratio to the starting policy in nats per response (or each
      prompt's exact KL), whose mean is the policy's KL; or None.
    scored_by: who gave `score`: a stage's name, or a program's.
  """

  name: str
  prompts: Sequence[Prompt]
  responses: Sequence[str]
  lengths: np.ndarray
  ended: np.ndarray
  gold: np.ndarray | None = None
  score: np.ndarray | None = None
  kl: np.ndarray | None = None
  scored_by: str = ''

  def __post_init__(self):
    if not len(self.prompts):
      raise ValueError(f'policy {self.name!r} has no samples to evaluate')
    for field in ('responses', 'lengths', 'ended', 'gold', 'score', 'kl'):
      values = getattr(self, field)
      if values is not None and np.shape(values) != (len(self.prompts),):
        raise ValueError(
          f'policy {self.name!r}: {field} has shape {np.shape(values)} for '
          f'{len(self.prompts)} prompts; give one entry a prompt'
        )
      if values is not None and field in ('gold', 'score', 'kl'):
        object.__setattr__(self, field, np.asarray(values, float))


def prompt_groups(prompts: Sequence[Prompt]) -> np.ndarray:
  """[N] int: which distinct prompt a row has, from 0 in order of appearance.

  Prompts are the same when their messages are, wherever they came from.
  """
  places = {}
  return np.array(
    [places.setdefault(p.messages, len(places)) for p in prompts], int
  )


def check_aligned(first: PolicySamples, second: PolicySamples) -> None:
  """Refuses two policies that did not answer the same prompts row by row."""
  pairs = zip(first.prompts, second.prompts, strict=False)
  aligned = all(a.messages == b.messages for a, b in pairs)
  if not aligned or len(first.prompts) != len(second.prompts):
    raise ValueError(
      f'policies {first.name!r} and {second.name!r} answered different '
      'prompts; sample both on the same prompts in the same order'
    )


def common_scores(samples: Sequence[PolicySamples]) -> str | None:
  """The scores to judge all of these by, 'gold' or else 'score', or None.

  Scores of two reward models are not comparable.
  """
  for field in ('gold', 'score'):
    same = field == 'gold' or len({s.scored_by for s in samples}) == 1
    if same and all(found(s, field).any() for s in samples):
      return field
  return None


def found(samples: PolicySamples, field: str) -> np.ndarray:
  """[N] bool, the rows that have a number: one that is there, and finite."""
  values = getattr(samples, field)
  if values is None:
    return np.zeros(len(samples.prompts), bool)
  return np.isfinite(values)
