"""Win rates of models by labels and by a judge, side by side.

A judge may be wrong on many pairs and still put models in the order in which
people have them, which is what simulated win rates are for.

Source: Dubois et al. 2023 (AlpacaFarm), who hold simulated win rates of methods
to human ones.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import agreement, statistics, tables
from rlhf_jax.evaluation.agreement import LabelledPair
from rlhf_jax.evaluation.samples import prompt_groups
from rlhf_jax.evaluation.statistics import Estimate

RESAMPLES = 2_000  # For the interval of the rank correlation.


class ModelRate(NamedTuple):
  """How often a model's responses win against those they were paired with.

  Attributes:
    by_labels: people's or a strong model's.
    by_judge: the share of its verdicts, as `agreement.measure` counts them: a
      credit above ½ is a win, below a loss, each pair in both orders.
    count: pairs with a response of the model; both are of these.
  """

  by_labels: Estimate
  by_judge: Estimate
  count: int


class ModelWinRates(NamedTuple):
  """Rates of two models or more, and how alike the judge and labels rank them.

  Attributes:
    rates: {model: its rate}, the best by the labels first.
    rank_correlation: Spearman's ρ of the models' two rates; None of two models,
      or where either has all of them alike. Its interval is over prompts: in a
      resample models without a pair are left out, and ρ is 0 where either then
      has all alike.
  """

  rates: Mapping[str, ModelRate]
  rank_correlation: Estimate | None


def measure(
  pairs: Sequence[LabelledPair], credits: np.ndarray
) -> ModelWinRates | None:
  """Rates of the models of N labelled pairs.

  Left out are pairs without a verdict in both orders, those that do not name
  both models, and two responses of one model. None where that leaves none.

  Args:
    pairs: N.
    credits: [N, 2] of the first responses, as of `orders.both`.
  """
  known = ~np.isnan(credits).any(axis=1)
  rows = [i for i, p in enumerate(pairs) if known[i] and len(set(p.models)) > 1]
  if not rows:
    return None
  pairs = [pairs[row] for row in rows]
  groups = prompt_groups([pair.prompt for pair in pairs])
  names = sorted({name for pair in pairs for name in pair.models})
  places = np.array([[names.index(name) for name in p.models] for p in pairs])
  takes_part = _by_model(places, len(names), np.ones(len(pairs)), 1.0) > 0
  by_labels, by_judge = (
    _by_model(places, len(names), first, 1.0 - first)
    for first in (
      np.array([pair.label for pair in pairs]),
      agreement.verdicts(credits[rows]).mean(axis=1),
    )
  )
  rates = {}
  for place, name in enumerate(names):
    own = takes_part[:, place]
    labels, judge = (
      statistics.share(side[own, place], groups[own])
      for side in (by_labels, by_judge)
    )
    rates[name] = ModelRate(labels, judge, int(own.sum()))
  best_first = sorted(rates, key=lambda name: -rates[name].by_labels.value)
  return ModelWinRates(
    {name: rates[name] for name in best_first},
    _rank_correlation(takes_part, by_labels, by_judge, groups),
  )


def table(found: ModelWinRates) -> tables.Table:
  """A line for each model: wins by the labels, and by the judge."""
  columns = {
    'model': lambda name, r: name,
    'wins by the labels': lambda name, r: tables.interval(r.by_labels),
    'wins by the judge': lambda name, r: tables.interval(r.by_judge),
    'n': lambda name, r: str(r.count),
  }
  return tables.of(found.rates, columns)


def _by_model(places, models, first, second) -> np.ndarray:
  """[N, M] credits of the models at places [N, 2]; 0 of those not there."""
  credits, rows = np.zeros((len(places), models)), np.arange(len(places))
  credits[rows, places[:, 0]] = first
  credits[rows, places[:, 1]] = second
  return credits


def _rank_correlation(takes_part, by_labels, by_judge, groups):
  correlate = functools.partial(_correlations, takes_part, by_labels, by_judge)
  whole = np.ones((1, len(groups)))
  if takes_part.shape[1] < 3 or np.isnan(correlate(whole)).any():
    return None
  return statistics.bootstrapped(
    lambda weights: np.nan_to_num(correlate(weights)),
    groups,
    resamples=RESAMPLES,
  )


def _correlations(takes_part, by_labels, by_judge, weights) -> np.ndarray:
  """[F] ρ under weights [F, N] of pairs; NaN where a side has all alike."""
  counts = weights @ takes_part
  labels, judge = (
    np.where(counts > 0, weights @ side / np.maximum(counts, 1), np.nan)
    for side in (by_labels, by_judge)
  )
  return statistics.spearman(labels, judge)
