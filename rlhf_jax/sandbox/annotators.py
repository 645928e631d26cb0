"""People who compare two responses: gold, seen through noise."""

import dataclasses
import math

import numpy as np

from rlhf_jax.sandbox.gold import gold
from rlhf_jax.types import Prompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotator:
  """Prefers a to b with probability σ((gold(a) − gold(b)) / temperature).

  Attributes:
    temperature: of the Bradley–Terry noise, in reward units. The default makes
      annotators agree with gold on three pairs of SFT samples in four.
    coin: probability that the label is a coin toss instead; 0.5 turns a quarter
      of all labels around, as AlpacaFarm does.
  """

  temperature: float = 1.0
  coin: float = 0.0

  def annotate(
    self, prompt: Prompt, response_a: str, response_b: str, seed: int
  ) -> bool:
    """Whether a is preferred; the same for the same seed."""
    rng = np.random.default_rng(seed)
    tossed, toss, noise = rng.random(3)
    if tossed < self.coin:
      return bool(toss < 0.5)
    a, b = gold([prompt, prompt], [response_a, response_b]).tolist()
    return bool(noise < sigmoid((a - b) / self.temperature))


def sigmoid(x: float) -> float:
  """1 / (1 + exp(−x)), without overflow."""
  return 0.5 * (1.0 + math.tanh(0.5 * x))
