"""Who says which of two responses is better.

A judge gives every pair the first response's credit: 1 for a win, 0 for a
loss, ½ for a tie, anything between for a probability, and NaN where no
verdict could be had. It may be slow and may be noisy; `win_rate.credits` does
not ask it about identical responses.
"""

from collections.abc import Callable, Sequence

import numpy as np

from rlhf_jax.types import Prompt, Reward

# (N prompts, N responses of A, N of B) -> [N] credits of A.
Judge = Callable[[Sequence[Prompt], Sequence[str], Sequence[str]], np.ndarray]


def credits_from_scores(
  first: np.ndarray, second: np.ndarray, *, tie_margin: float = 0.0
) -> np.ndarray:
  """Credits [N] of the first of two scores [N] each.

  Scores no further apart than `tie_margin` tie; a NaN score gives NaN.
  """
  first, second = np.asarray(first, float), np.asarray(second, float)
  with np.errstate(invalid='ignore'):  # ∞ − ∞: equal scores, which tie.
    near = np.abs(first - second) <= tie_margin
  verdicts = np.where(near | (first == second), 0.5, first > second)
  return np.where(np.isnan(first) | np.isnan(second), np.nan, verdicts)


def gold_judge(reward: Reward, *, tie_margin: float = 0.0) -> Judge:
  """Prefers what `reward` scores higher; the order of a pair plays no part."""

  def judge(prompts, responses_a, responses_b):
    return credits_from_scores(
      reward(prompts, responses_a),
      reward(prompts, responses_b),
      tie_margin=tie_margin,
    )

  return judge
