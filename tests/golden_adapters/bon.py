"""The best of n: evaluation.best_of_n."""

import numpy as np

from rlhf_jax.evaluation import best_of_n


def discrete(inputs):
  scores, base = (
    np.asarray(inputs[name], float) for name in ('rewards', 'base_probs')
  )
  base = base / base.sum()  # They sum to 1 in float32 only.
  counts = np.asarray(inputs['n']).tolist()
  laws = np.array([best_of_n.distribution(scores, base, n) for n in counts])
  return {
    'bon_probs': laws,
    'kl': np.array(
      [best_of_n.exact_divergence(scores, base, n) for n in counts]
    ),
    'expected_reward': laws @ scores,
  }


def expected_max(inputs):
  scores = np.asarray(inputs['rewards'])
  return {
    'expected_max': np.array(
      [
        best_of_n.expectation(scores, scores, n)
        for n in np.asarray(inputs['k']).tolist()
      ]
    )
  }


def bound(inputs):
  counts = np.asarray(inputs['n']).tolist()
  return {
    'kl_bound': np.array([best_of_n.divergence(n) for n in counts]),
    'win_rate_vs_base': np.array([best_of_n.win_rate(n) for n in counts]),
  }


ADAPTERS = {
  'bon.discrete': discrete,
  'bon.expected_max': expected_max,
  'bon.kl_bound': bound,
}
