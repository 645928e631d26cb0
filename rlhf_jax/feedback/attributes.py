"""Attributes of a response as text, as SteerLM's policies read them.

`quality:6,toxicity:0`: names and whole levels, in the order that the policy was
trained on.

Source: Dong et al. 2023 (SteerLM); the turn template is from its released
training code.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rlhf_jax.types.rules import Levels
from rlhf_jax.types.values import checked

_ITEM = re.compile(r'([^:]+):(\d+)')


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Scale:
  """The attributes, their levels, and how they are written.

  Attributes:
    names: of the attributes, in the order of every text and every rating.
    levels: of each: 5 are 0 to 4 (the public data), 10 are 0 to 9 (the paper).
    marker: stands before the attributes.
    separator: between two attributes.
    spelling: puts spaces into a text for a vocabulary of whole words; `parse`
      ignores them. None leaves the text as it is.
  """

  names: tuple[str, ...]
  levels: Levels = 5
  marker: str = '<extra_id_2>'
  separator: str = ','
  spelling: Callable[[str], str] | None = None

  def __post_init__(self):
    if not self.names or len(set(self.names)) < len(self.names):
      raise ValueError(
        f'names are {", ".join(self.names) or "none"}; give each attribute one '
        'of its own'
      )
    for name in self.names:
      if not name or re.search(rf'[:\s]|{re.escape(self.separator)}', name):
        raise ValueError(
          f'the attribute {name!r} cannot be told from the marks around it; '
          f'use no space, no ":" and no {self.separator!r}'
        )

  def encode(self, values: Mapping[str, float]) -> str:
    """Levels as text, in this scale's order; an attribute may be missing.

    Raises:
      ValueError: an attribute or a level that this scale does not have.
    """
    return self._spelt(self.unspelt(values))

  def unspelt(self, values: Mapping[str, float]) -> str:
    """`encode` without spelling: `quality:6,toxicity:0`."""
    for name, level in values.items():
      if name not in self.names:
        raise ValueError(
          f'there is no attribute {name!r} here; there are '
          f'{", ".join(self.names)}'
        )
      if level not in range(self.levels):
        raise ValueError(
          f'{name}:{level:g} is not on the scale: levels are whole numbers '
          f'from 0 to {self.levels - 1}'
        )
    items = (f'{n}:{int(values[n])}' for n in self.names if n in values)
    return self.separator.join(items)

  def parse(self, text: str) -> dict[str, int] | None:
    """The inverse of `encode`; None for other texts."""
    text = ''.join(text.split())
    items = [_ITEM.fullmatch(item) for item in text.split(self.separator)]
    if None in items:
      return None
    values = {item[1]: int(item[2]) for item in items}
    try:
      return values if self.unspelt(values) == text else None
    except ValueError:
      return None

  def condition(self, values: Mapping[str, float]) -> str:
    """The text right before a response with these levels."""
    return self._spelt(self.marker) + self._gap + self.encode(values) + '\n'

  def conditioned_on(self, condition: str) -> dict[str, int] | None:
    """The inverse of `condition`; None for other texts."""
    marker, text = self._spelt(self.marker), condition.strip()
    if not text.startswith(marker):
      return None
    return self.parse(text[len(marker) :])

  def question(self, response: str) -> str:
    """The text between a prompt and a rater's text: response and marker."""
    return f'{response}\n{self._spelt(self.marker)}{self._gap}'

  def rated(self, ratings: Sequence[float | None]) -> dict[str, int]:
    """People's ratings, rounded; missing ones are left out.

    Half a level goes to the even one: 0.5 to 0, 1.5 to 2.

    Raises:
      ValueError: another number of ratings than attributes, or one that is no
        finite number.
    """
    if len(ratings) != len(self.names):
      raise ValueError(
        f'there are {len(ratings)} ratings and {len(self.names)} attributes '
        f'({", ".join(self.names)}); give one for each, None where none is'
      )
    for name, rating in zip(self.names, ratings, strict=True):
      if rating is not None and not np.isfinite(rating):
        raise ValueError(
          f'the rating of {name} is {rating}; give a number, or None'
        )
    return {
      name: round(rating)
      for name, rating in zip(self.names, ratings, strict=True)
      if rating is not None
    }

  def predicted(self, ratings: Sequence[float]) -> dict[str, int]:
    """A model's ratings, clipped to the scale and rounded as `rated` does."""
    return self.rated(np.clip(ratings, 0, self.levels - 1).tolist())

  @property
  def _gap(self):
    return ' ' if self.spelling else ''

  def _spelt(self, text):
    return self.spelling(text) if self.spelling else text


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Steering:
  """Asks a policy for a response that has these attributes.

  Attributes:
    scale: that the policy was trained with.
    values: attributes and their levels.
  """

  scale: Scale
  values: Mapping[str, int]

  def __post_init__(self):
    if not self.scale.encode(self.values):
      raise ValueError(
        'no attribute is asked for; give a level to some of '
        f'{", ".join(self.scale.names)}'
      )

  @property
  def text(self) -> str:
    """The condition that the policy reads right before its response."""
    return self.scale.condition(self.values)

  def warning(self, seen: Sequence[str]) -> str | None:
    """A sentence if training had no response with these attributes, or None.

    Args:
      seen: the different conditions of the training data.
    """
    trained = [self.scale.conditioned_on(text) or {} for text in seen]
    if dict(self.values) in trained:
      return None
    new = [
      f'{name}:{level}'
      for name, level in self.values.items()
      if all(values.get(name) != level for values in trained)
    ]
    if new:
      return f'trained on no response with {" or with ".join(new)}'
    return (
      f'trained on no response with {self.scale.unspelt(self.values)}, though '
      'on each of these levels'
    )
