"""Which of many policies a page shows first: those of the claims."""

from collections.abc import Mapping, Sequence

from rlhf_jax.evaluation import claims
from rlhf_jax.evaluation.statistics import Estimate

MOST_ROWS = 12  # Of a table that begins a page.
MOST_ANSWERS = 6  # To a prompt; likewise policies in a plot by kind of prompt.
MOST_DRAWN = 16  # Win rates in a plot.


def of(
  names: Sequence[str],
  contrasts: Mapping[str, claims.Contrast],
  against: str,
  most: int,
) -> list[str]:
  """At most so many of the policies, in their own order.

  First the one that all are compared with and those of the claims, claim by
  claim, then the others.

  Args:
    names: of the policies.
    contrasts: {the claim in words: what was found of it}.
    against: the policy that win rates are against.
    most: how many.
  """
  pairs = ((c.better, c.worse) for c in contrasts.values())
  claimed = [against, *(name for pair in pairs for name in pair)]
  ranked = [n for n in dict.fromkeys([*claimed, *names]) if n in names]
  kept = set(ranked[:most])
  return [name for name in names if name in kept]


def win_rates(
  rates: Mapping[str, Estimate],
  contrasts: Mapping[str, claims.Contrast],
  against: str,
) -> list[dict[tuple[str, str], Estimate]]:
  """{(policy, against): win rate} of a plot: the claims', then the others.

  The claims' alone where both are too many.

  Args:
    rates: {policy: its win rate against `against`}.
    contrasts: {the claim in words: what was found of it}.
    against: the policy that `rates` are against.
  """
  others = {(name, against): rate for name, rate in rates.items()}
  claimed = claims.rates(contrasts)
  apart = {pair: r for pair, r in claimed.items() if pair not in others}
  if claimed and len(apart) + len(others) > MOST_DRAWN:
    apart, others = claimed, {}
  return [group for group in (apart, others) if group]
