"""Rotary position embeddings: how queries and keys turn with the position."""

import dataclasses
import math
from typing import Annotated

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import Count, Positive, Range
from rlhf_jax.types.values import checked

Factor = Annotated[float, Range(at_least=1.0)]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Linear:
  """Positions are divided by a factor (Chen et al. 2023, eq. 4)."""

  factor: Factor


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class ByWavelength:
  """Long waves are divided by a factor, short ones not, those between in part.

  As Llama 3.1 does it.

  Attributes:
    factor: of long waves.
    low, high: waves are long from `original` / low tokens on, and short up to
      `original` / high.
    original: how many tokens the model was trained on at first.
  """

  factor: Factor
  low: Positive = 1.0
  high: Positive = 4.0
  original: Count


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Yarn:
  """Slow pairs are divided by a factor, fast ones not, with a ramp between.

  Attributes:
    factor: of slow pairs.
    original: how many tokens the model was trained on at first.
    fast, slow: turns over `original` tokens where the ramp ends and begins.
    whole: the ends of the ramp are rounded outwards to whole pairs.
    magnitude: what cosines and sines are multiplied by.

  Source: Peng et al. 2023, section 3.2 and eq. 21.
  """

  factor: Factor
  original: Count
  fast: Positive = 32.0
  slow: Positive = 1.0
  whole: bool = True
  magnitude: Positive = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Short:
  """The rotation of short rows, of a model that has another for long ones.

  Longer rows are refused: how a row's beginning turns would depend on its end.

  Attributes:
    original: how many tokens a row may have.
    factors: what the angle of each pair is divided by; none where empty.
    magnitude: what cosines and sines are multiplied by.
  """

  original: Count
  factors: tuple[Positive, ...] = ()
  magnitude: Positive = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Rotary:
  """Queries and keys are turned by angles that grow with the position.

  Attributes:
    base: of the wavelengths.
    width: how much of the front of a head is turned, even; None turns all.
    scaling: how wavelengths are stretched, beyond what a model was first
      trained on.
  """

  base: Annotated[float, Range(above=1.0)] = 10_000.0
  width: Count | None = None
  scaling: Linear | ByWavelength | Yarn | Short | None = None

  def turned(self, head_width: int) -> int:
    """How much of the front of a head is turned."""
    return self.width or head_width


def frequencies(rotary: Rotary, width: int) -> chex.Array:
  """[width / 2] float32, by how much each pair turns from token to token.

  Pair i turns by base^(−2i / width), before any scaling.

  Source: Su et al. 2021, section 3.2.2.
  """
  exponents = jnp.arange(0, width, 2, dtype=jnp.float32) / width
  plain, scaling = rotary.base**-exponents, rotary.scaling
  if scaling is None:
    return plain
  if isinstance(scaling, Short):
    return plain / jnp.asarray(scaling.factors or 1.0, jnp.float32)
  long = plain / scaling.factor
  if isinstance(scaling, Linear):
    return long
  if isinstance(scaling, ByWavelength):
    rounds = scaling.original * plain / (2 * jnp.pi)  # Of a whole row.
    fast = (rounds - scaling.low) / (scaling.high - scaling.low)
    fast = jnp.clip(fast, 0.0, 1.0)
  else:
    fast = 1.0 - ramp(rotary.base, scaling, width)
  return (1.0 - fast) * long + fast * plain


def ramp(base: float, scaling: Yarn, width: int) -> chex.Array:
  """[width / 2], 0 at pairs that turn fast, 1 at slow ones."""

  def pair(rounds):  # The one that turns so often over `original` tokens.
    wave = scaling.original / (2 * math.pi * rounds)
    return width * math.log(wave) / (2 * math.log(base))

  low, high = pair(scaling.fast), pair(scaling.slow)
  if scaling.whole:
    low, high = math.floor(low), math.ceil(high)
  low, high = max(low, 0), min(high, width - 1)
  pairs = jnp.arange(width // 2, dtype=jnp.float32)
  return jnp.clip((pairs - low) / (high - low or 0.001), 0.0, 1.0)


def turns(
  positions: chex.Array, rotary: Rotary | None, head_width: int
) -> tuple[chex.Array, chex.Array] | None:
  """Cosines and sines, [..., pairs] float32 each, of positions [...]."""
  if rotary is None:
    return None
  rates = frequencies(rotary, rotary.turned(head_width))
  angles = jnp.einsum('...,i->...i', positions.astype(jnp.float32), rates)
  magnitude = getattr(rotary.scaling, 'magnitude', 1.0)
  return magnitude * jnp.cos(angles), magnitude * jnp.sin(angles)


def rotate(
  x: chex.Array, rotation: tuple[chex.Array, chex.Array] | None
) -> chex.Array:
  """Rotates each pair (i, i + pairs) of heads x [..., H, d] by its angle.

  Args:
    x: [..., H, d] queries or keys.
    rotation: cosines and sines [..., pairs] of `turns`. What of a head is
      beyond these pairs stays as it is; None leaves all.

  Returns:
    [..., H, d], of x's dtype.
  """
  if rotation is None:
    return x
  cos, sin = (part[..., None, :] for part in rotation)
  turned, rest = jnp.split(x, [2 * cos.shape[-1]], axis=-1)
  first, second = jnp.split(turned.astype(jnp.float32), 2, axis=-1)
  rotated = (first * cos - second * sin, second * cos + first * sin)
  rotated = jnp.concatenate(rotated, axis=-1).astype(x.dtype)
  return jnp.concatenate([rotated, rest], axis=-1) if rest.size else rotated
