"""Rules on numbers and days, for annotations of fields and of options."""

import dataclasses
import datetime
import math
from typing import Annotated, Any

import chex

from rlhf_jax.types.calls import shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
  """A range of allowed numbers; without bounds, all finite ones.

  Attributes:
    at_least, above: the lower bound, itself allowed or not.
    at_most, below: the upper one. An infinite `at_most` allows infinity.
  """

  at_least: float | None = None
  above: float | None = None
  at_most: float | None = None
  below: float | None = None

  def holds(self, number: float) -> bool:
    """Whether a number is allowed."""
    return (
      (math.isfinite(number) or number == self.at_most)
      and (self.at_least is None or number >= self.at_least)
      and (self.above is None or number > self.above)
      and (self.at_most is None or number <= self.at_most)
      and (self.below is None or number < self.below)
    )

  def __str__(self) -> str:
    low = self.at_least if self.above is None else self.above
    high = self.at_most if self.below is None else self.below
    if low is not None and high is not None and math.isfinite(high):
      left = '[' if self.above is None else '('
      right = ']' if self.below is None else ')'
      return f'in {left}{low:.10g}, {high:.10g}{right}'
    words = 'finite'
    if low is not None:
      words = f'{low:g} or more' if self.above is None else f'above {low:g}'
    elif high is not None and math.isfinite(high):
      words = f'{high:g} or less' if self.below is None else f'below {high:g}'
    return f'{words}, or infinite' if high == math.inf else words


@dataclasses.dataclass(frozen=True)
class Divides:
  """A whole number that divides another field, where there is that field."""

  field: str

  def complaint(self, value: int, owner: Any) -> str | None:
    """What is wrong with the value, if anything is."""
    whole = getattr(owner, self.field, None)
    if not isinstance(whole, int) or value < 1 or whole % value == 0:
      return None
    return f'is {value}; it must divide {self.field}, {whole}, evenly'


@dataclasses.dataclass(frozen=True)
class AtMost:
  """A number that is no larger than another field."""

  field: str

  def complaint(self, value: float, owner: Any) -> str | None:
    """What is wrong with the value, if anything is."""
    most = getattr(owner, self.field)
    if value <= most:
      return None
    return f'is {value}; it must not be more than {self.field}, {most}'


@dataclasses.dataclass(frozen=True)
class Day:
  """A day as text, YYYY-MM-DD."""

  def complaint(self, value: str) -> str | None:
    """What is wrong with the value, if anything is."""
    try:
      if datetime.date.fromisoformat(value).isoformat() == value:
        return None
    except ValueError:
      pass
    return f'is {shown(value)}; it must be a day, as in 2024-07-26'


# Steps and sizes are counted in 32 bits on the device.
COUNTED = 2.0**31
Count = Annotated[int, Range(at_least=1, below=COUNTED)]
Natural = Annotated[int, Range(at_least=0, below=COUNTED)]
Levels = Annotated[int, Range(at_least=2, below=COUNTED)]
MicroBatches = Annotated[Count, Divides('batch_size')]
Seed = Annotated[int, Range(at_least=0, below=2.0**32)]
# Of configs and of options alike; an option may be an array, too.
Finite = Annotated[chex.Numeric, Range()]
Positive = Annotated[chex.Numeric, Range(above=0.0)]
NonNegative = Annotated[chex.Numeric, Range(at_least=0.0)]
Share = Annotated[chex.Numeric, Range(at_least=0.0, at_most=1.0)]
ShareAboveZero = Annotated[chex.Numeric, Range(above=0.0, at_most=1.0)]
ShareBetween = Annotated[chex.Numeric, Range(above=0.0, below=1.0)]
# Of what a number of any size may be; infinity bounds nothing.
Bound = Annotated[chex.Numeric, Range(above=0.0, at_most=math.inf)]
Date = Annotated[str, Day()]
# Of labels; at a half they would carry no information.
Smoothing = Annotated[chex.Numeric, Range(at_least=0.0, below=0.5)]
