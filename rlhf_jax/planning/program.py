"""A program of a stage, before it is compiled."""

import dataclasses
from typing import Any

import jax


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Program:
  """A program of a stage, as it is traced.

  Attributes:
    name: of the function that it is made of.
    traced: with the shapes and shards of its arguments.
    given: its arguments.
    held: what lies in memory while it runs, whoever reads it.
    times: how often a step of the stage runs it; 0 of what runs once.
    loop_steps: how often a loop in it runs that ends by itself, at most.
  """

  name: str
  traced: jax.stages.Traced
  given: Any
  held: Any
  times: int
  loop_steps: int
