"""Plots of reward learning on policy samples. Needs matplotlib."""

import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.drawing import (
  COLOURS,
  NEUTRAL,
  POINT,
  STYLE,
  grid,
  intervals,
  look,
  page,
  save,
)
from rlhf_jax.evaluation.statistics import Estimate

BARS = 20  # Steps of confidence from 0 to 1; ten samples a prompt fall on them.


def accuracy_by_policy(
  path: pathlib.Path, models: Mapping[str, Mapping[str, Estimate]]
) -> None:
  """Draws each reward model's accuracy on each policy's pairs.

  Args:
    path: where the PNG goes.
    models: {reward model: {policy: accuracy}}; policies stand in the order
      given, and a model not measured on some policy is let pass.
  """
  policies = list(
    dict.fromkeys(name for own in models.values() for name in own)
  )
  # Inches: a policy is as wide as its name or as its models' points.
  longest = max(map(len, policies))
  width = max(0.09 * longest + 0.2, 0.22 * len(models) + 0.4)
  spread = min(0.22 / width, 0.7 / len(models))
  with matplotlib.rc_context(STYLE | {'axes.grid.axis': 'y'}):
    breadth = max(width * len(policies) + 1.0, 6.0)
    sheet = page(breadth, 4.1)
    panel = sheet.subplots()
    panel.axhline(0.5, **NEUTRAL)
    for place, (name, own) in enumerate(models.items()):
      shift = spread * (place - (len(models) - 1) / 2)
      places = [policies.index(policy) + shift for policy in own]
      values, ends = intervals(list(own.values()))
      panel.errorbar(
        places, values, yerr=ends, label=name, **POINT, **look(place)
      )
    panel.set_xticks(range(len(policies)), policies)
    panel.set_xlim(-0.5, len(policies) - 0.5)
    panel.tick_params(axis='x', length=0)
    panel.set_xlabel('whose samples are compared')
    panel.set_ylabel('accuracy, with 95 % interval')
    entry = 0.085 * max(map(len, models)) + 0.75
    columns = min(len(models), max(int(breadth / entry), 1))
    sheet.legend(loc='outside lower center', ncols=columns)
    sheet.suptitle('Reward models on each policy’s pairs', x=0.01, ha='left')
    save(sheet, path)


def acceptance(
  path: pathlib.Path,
  confidences: np.ndarray,
  right: np.ndarray,
  groups: np.ndarray | None = None,
) -> None:
  """Draws what a least confidence lets through, and whether it is right.

  Args:
    path: where the PNG goes.
    confidences: [N] share of a prompt's samples in its largest group.
    right: [N] bool, whether that group is the right one.
    groups: [N] int, rows that are not independent (seeds on one prompt) alike;
      all are where None.
  """
  confidences, right = np.asarray(confidences, float), np.asarray(right, bool)
  if confidences.shape != right.shape or confidences.ndim != 1:
    raise ValueError(
      f'confidences {confidences.shape} and right {right.shape} are not both '
      '[N], one a prompt'
    )
  if not np.all((confidences > 0) & (confidences <= 1)):
    raise ValueError('a confidence is a share above 0 and at most 1')
  groups = np.arange(len(right)) if groups is None else np.asarray(groups)
  with matplotlib.rc_context(STYLE):
    sheet = page(9.4, 3.9)
    kept, majority = sheet.subplots(1, 2)
    _curve(kept, confidences)
    kept.set_title('Kept, by the least confidence asked for')
    kept.set_xlabel('least confidence')
    kept.set_ylabel('share of prompts')
    _bars(majority, confidences, right, groups)
    majority.set_title('Right majority (dashed: as confident)')
    majority.set_xlabel('confidence (below the bars: prompts)')
    majority.set_ylabel('share right, with 95 % interval')
    sheet.suptitle('Prompts by confidence of their samples', x=0.01, ha='left')
    save(sheet, path)


def by_threshold(
  path: pathlib.Path,
  thresholds: Sequence[float],
  values: Mapping[str, Sequence[float]],
  lows: Mapping[str, Sequence[float]],
  highs: Mapping[str, Sequence[float]],
) -> None:
  """Draws quantities against the least confidence γ, a panel each.

  Args:
    path: where the PNG goes.
    thresholds: [N] the γ compared.
    values: {quantity: [N] its values}, NaN where there is none.
    lows: {quantity: [N] lower ends of its intervals}; a quantity may be
      missing here and in `highs`, and has no interval then.
    highs: likewise.
  """
  margin = 0.03 * (max(thresholds) - min(thresholds))
  with matplotlib.rc_context(STYLE):
    sheet, panels = grid(list(values), 'least confidence γ')
    for panel, (name, line) in zip(panels, values.items(), strict=True):
      if name in lows:
        panel.fill_between(
          thresholds,
          lows[name],
          highs[name],
          color=COLOURS[0],
          alpha=0.2,
          linewidth=0,
        )
      panel.plot(thresholds, line, linewidth=1.8, **look(0))
      # The same in all, also where a quantity has no value at the ends.
      panel.set_xlim(min(thresholds) - margin, max(thresholds) + margin)
    sheet.suptitle(
      'By the least confidence of a synthetic pair', x=0.01, ha='left'
    )
    save(sheet, path)


def _curve(panel, confidences):
  """Share of prompts of confidence c or more, for every c in [0, 1]."""
  levels = np.unique(confidences)
  shares = [np.mean(confidences >= level) for level in levels]
  # A share holds up to its level and with it; above the last nothing is left.
  steps = np.concatenate([[0.0], levels, [1.0]])
  heights = np.concatenate([[1.0], shares, [np.mean(confidences >= 1.0)]])
  panel.step(steps, heights, where='pre', color=COLOURS[0], linewidth=1.8)
  if levels.size <= BARS:
    panel.plot(levels, shares, linestyle='none', markersize=5, **look(0))
  panel.set_xlim(-0.03, 1.05)
  panel.set_ylim(-0.03, 1.05)


def _bars(panel, confidences, right, groups):
  """Share right at each step of confidence, and how many prompts it is of."""
  steps = np.rint(confidences * BARS).astype(int)
  found = np.unique(steps)
  estimates = [
    statistics.share(right[steps == step], groups[steps == step])
    for step in found
  ]
  values, ends = intervals(estimates)
  panel.bar(found / BARS, values, width=0.8 / BARS, color=COLOURS[5])
  panel.errorbar(
    found / BARS, values, yerr=ends, linestyle='none', color=COLOURS[0]
  )
  for step in found:
    panel.annotate(
      f'{np.sum(steps == step)}',
      (step / BARS, -0.03),
      rotation=90,
      ha='center',
      va='top',
      fontsize=8,
      color='#444444',
    )
  panel.plot([0, 1], [0, 1], **NEUTRAL)
  panel.set_yticks(np.linspace(0, 1, 6))
  panel.set_xlim(-0.03, 1.05)
  panel.set_ylim(-0.22, 1.05)
