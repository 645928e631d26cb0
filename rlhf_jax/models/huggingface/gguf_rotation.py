"""How far pairs of a head turn by a GGUF file of Llama 3: a factor for each.

llama.cpp divides the angle of a pair by its factor; in config.json four numbers
say the same. Three of them are one in all that Llama 3.1 to 3.3 released.
"""

import json
from typing import Any

import numpy as np

from rlhf_jax.models.huggingface.safetensors import CheckpointError
from rlhf_jax.models.rotary import ByWavelength, Rotary, frequencies

TENSOR = 'rope_freqs.weight'
RELEASED = {'low': 1.0, 'high': 4.0, 'original': 8192}
FACTORS = (8.0, 32.0)  # Of the 8B and larger, and of the 1B and 3B.


def scaling(factors: np.ndarray, base: float) -> dict[str, Any] | None:
  """`rope_scaling` of config.json, by which pairs turn as by these factors.

  Args:
    factors: [pairs] what the angle of each pair of a head is divided by.
    base: of the wavelengths.

  Returns:
    None where all factors are 1.

  Raises:
    CheckpointError: Llama 3 was not released with such factors.
  """
  if np.all(factors == 1.0):
    return None
  width = 2 * len(factors)
  turned = np.asarray(frequencies(Rotary(base=base), width)) / factors
  longest = float(np.max(factors))
  for factor in (longest, *FACTORS):  # No wave of a narrow head is long.
    if not 1.0 <= factor < np.inf:
      continue
    own = ByWavelength(factor=factor, **RELEASED)
    expected = frequencies(Rotary(base=base, scaling=own), width)
    if np.allclose(turned, expected, rtol=1e-4, atol=0.0):
      return {
        'rope_type': 'llama3',
        'factor': factor,
        'low_freq_factor': own.low,
        'high_freq_factor': own.high,
        'original_max_position_embeddings': own.original,
      }
  raise CheckpointError(
    f'{TENSOR} has factors up to {longest:g}, which are not those of Llama 3 '
    f'({json.dumps(RELEASED)[1:-1]})'
  )
