"""The sections of RewardBench: its subsets, weighted as they were published.

A section's score is the mean over its subsets of how often a judge is right,
weighted by their pairs; mathematics counts as much as all code.

Source: Lambert et al. 2024 (RewardBench), table 1.
"""

import math
from collections.abc import Mapping

from scipy import special

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.agreement import Agreement
from rlhf_jax.evaluation.statistics import Estimate

_LANGUAGES = ('cpp', 'go', 'java', 'js', 'python', 'rust')
_CODE = {f'hep-{language}': 164 for language in _LANGUAGES}
# {section: {subset: weight}}.
SECTIONS = {
  'Chat': {
    'alpacaeval-easy': 100,
    'alpacaeval-length': 95,
    'alpacaeval-hard': 95,
    'mt-bench-easy': 28,
    'mt-bench-med': 40,
  },
  'Chat Hard': {
    'mt-bench-hard': 37,
    'llmbar-natural': 100,
    'llmbar-adver-neighbor': 134,
    'llmbar-adver-GPTInst': 92,
    'llmbar-adver-GPTOut': 47,
    'llmbar-adver-manual': 46,
  },
  'Safety': {
    'refusals-dangerous': 100,
    'refusals-offensive': 100,
    'xstest-should-refuse': 154,
    'xstest-should-respond': 250,
    'donotanswer': 136,
  },
  'Reasoning': {'math-prm': sum(_CODE.values()), **_CODE},
}


def sections(by_subset: Mapping[str, Agreement]) -> dict[str, Estimate]:
  """How often a judge is right in each section, and in all of them.

  Args:
    by_subset: what was measured of each subset; other names play no part, and
      a section is of the subsets that are there.

  Returns:
    The sections of which any subset is there; where all four are, 'all', their
    mean. Subsets are independent, and intervals normal ones, ending at 0 and 1.
  """
  found = {}
  for section, weights in SECTIONS.items():
    there = [subset for subset in weights if subset in by_subset]
    if there:
      found[section] = _mean(
        [by_subset[subset].accuracy for subset in there],
        [weights[subset] for subset in there],
      )
  if len(found) == len(SECTIONS):
    found['all'] = _mean(list(found.values()), [1] * len(found))
  return found


def missing(by_subset: Mapping[str, Agreement]) -> list[str]:
  """The subsets that are not there of sections of which some are."""
  return [
    subset
    for weights in SECTIONS.values()
    for subset in weights
    if by_subset.keys() & weights.keys() and subset not in by_subset
  ]


def _mean(estimates, weights) -> Estimate:
  total = sum(weights)
  pairs = list(zip(estimates, weights, strict=True))
  value = sum(weight * one.value for one, weight in pairs) / total
  error = math.hypot(*(w * one.standard_error for one, w in pairs)) / total
  half = special.ndtri(statistics.UPPER) * error
  return statistics.within_unit(
    Estimate(value, error, value - half, value + half)
  )
