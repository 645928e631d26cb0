"""A reward as text before a response: its own in training, a target after.

Source: Hu et al. 2023 (arXiv 2308.12050); OpenRLHF's template.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

from rlhf_jax.types.rules import Finite, Natural
from rlhf_jax.types.values import checked

Spelling = Callable[[str], str]

# A prompt, then this: "Q: hi <rm_score>: 1.23 ".
LABEL = '<rm_score>:'
_WRITTEN = re.compile(re.escape(LABEL) + r'(-?\d+(?:\.\d+)?)')


def text(
  reward: float, *, decimals: int = 2, spelling: Spelling | None = None
) -> str:
  """A reward as the policy reads it, between its prompt and its response.

  With a space before and after. A rounded -0.00 is written 0.00.

  Args:
    reward: in standard deviations of the training pool's reward, from its mean.
    decimals: after the point; OpenRLHF has 2, NeMo-Aligner 1.
    spelling: applied to the text, for a vocabulary of words say.
  """
  rounded = round(float(reward), decimals) + 0.0
  written = f' {LABEL} {rounded:.{decimals}f} '
  return spelling(written) if spelling else written


def read(written: str) -> float | None:
  """The inverse of `text`, spaces ignored; None for other texts."""
  found = _WRITTEN.fullmatch(''.join(written.split()))
  return float(found[1]) if found else None


@dataclasses.dataclass(frozen=True)
@checked
class Target:
  """The target reward of a policy: a condition of `experiment.PolicyVariant`.

  Attributes:
    z: the reward, in standard deviations of the training pool's reward, from
      its mean.
    decimals: after the point, as in training.
    spelling: of the text, as in training.
  """

  z: Finite
  decimals: Natural = 2
  spelling: Spelling | None = None

  @property
  def text(self) -> str:
    """The text between the prompt and the response."""
    return text(self.z, decimals=self.decimals, spelling=self.spelling)

  def warning(self, seen: Sequence[str]) -> str | None:
    """A sentence if training did not cover this target, or None.

    Args:
      seen: the conditions that the policy was trained on.
    """
    trained = {
      written: reward
      for written in seen
      if (reward := read(written)) is not None
    }
    if not trained:
      return (
        f'the policy was trained without a reward before its responses, so '
        f'{self.text!r} tells it nothing'
      )
    for written, reward in trained.items():
      own = dataclasses.replace(self, z=reward).text
      if own != written:
        return (
          f'training wrote {written!r} where this target would write {own!r}; '
          'give it the same decimals and the same spelling'
        )
    low, high = min(trained.values()), max(trained.values())
    if low <= read(self.text) <= high:
      return None
    return (
      f'a reward of {self.z:g} is asked for, and the policy was trained on '
      f"{low:g} to {high:g} (standard deviations from the mean of its pool's "
      'reward): beyond that it can only extrapolate'
    )
