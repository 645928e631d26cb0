"""The report's plots. Needs matplotlib, the extra `report`."""

import math
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import ticker

from rlhf_jax.evaluation.drawing import (
  COLOURS,
  NEUTRAL,
  POINT,
  STYLE,
  grid,
  intervals,
  legend_below,
  look,
  page,
  save,
)
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.statistics import Estimate

ALL = 'all prompts'
MOST_POINTS = 30  # Of one policy in a plot of reward by KL.


def learning_curves(
  path: pathlib.Path,
  title: str,
  curves: Mapping[str, Sequence[float]],
  units: Mapping[str, str],
) -> None:
  """Draws numbers of a stage against its steps, a panel each.

  Args:
    path: where the PNG goes.
    title: over all panels.
    curves: {metric: one number a row, NaN where it has none}; 'step' holds
      the steps.
    units: {metric: what its axis says}; those that it names are drawn.
  """
  with matplotlib.rc_context(STYLE):
    sheet, panels = grid(list(units), 'step')
    for panel, (name, unit) in zip(panels, units.items(), strict=True):
      _curve(panel, curves['step'], curves[name])
      panel.set_ylabel(unit)
    if _window(len(curves['step'])) > 1:
      title += ' (bold: running mean)'
    sheet.suptitle(title, x=0.01, ha='left')
    save(sheet, path)


def reward_curves(
  path: pathlib.Path,
  curves: Mapping[str, RewardCurve],
  learnt_from: Mapping[str, str] | None = None,
) -> None:
  """Draws the rewards against KL, on an axis even in √KL.

  A panel for the gold reward, and one for each other reward that was learnt
  from: two rewards have no unit in common.

  Args:
    path: where the PNG goes.
    curves: {policy: its checkpoints}.
    learnt_from: {policy: the reward that trained it}, by name.
  """
  golds = [name for name, c in curves.items() if c.gold is not None]
  panels_of = []
  if golds:
    panels_of.append(('Gold reward: what was meant', 'gold', golds))
  learnt_from = learnt_from or {}
  scored = [name for name, c in curves.items() if not _scored_by_gold(c)]
  for reward in dict.fromkeys(learnt_from.get(n, '') for n in scored):
    names = [n for n in scored if learnt_from.get(n, '') == reward]
    said = f'Score by {reward}' if reward else 'Score: what is learnt from'
    panels_of.append((said, 'score', names))
  columns = min(len(panels_of), 2)
  rows = math.ceil(len(panels_of) / columns)
  order = {name: place for place, name in enumerate(curves)}
  with matplotlib.rc_context(STYLE):
    sheet = page(max(3.8 * columns, 6.0), 3.0 * rows + 0.4)
    panels = sheet.subplots(rows, columns, squeeze=False).ravel()
    kls = np.concatenate([np.asarray(c.kl, float) for c in curves.values()])
    furthest = np.max(kls, where=np.isfinite(kls), initial=0.1)
    for panel in panels[len(panels_of) :]:
      panel.set_axis_off()
    for panel, (title, field, names) in zip(panels, panels_of, strict=False):
      for name in names:
        curve = curves[name].where_finite('kl', field)
        if len(curve.steps):
          reward = getattr(curve, field)
          _path(panel, order[name], name, curve.distances, reward)
      panel.set_title(title)
      panel.set_ylabel('reward units')
      _root_axis(panel, furthest)
    legend_below(sheet)
    sheet.suptitle(
      'Reward by distance from the start: best ringed, end large',
      x=0.01,
      ha='left',
    )
    save(sheet, path)


def _scored_by_gold(curve: RewardCurve) -> bool:
  score, gold = curve.score, curve.gold
  return gold is not None and np.array_equal(score, gold, equal_nan=True)


def win_rates(
  path: pathlib.Path,
  groups: Sequence[Mapping[tuple[str, str], Estimate]],
) -> None:
  """Draws win rates with their 95 % intervals, a row a pair of policies.

  Args:
    path: where the PNG goes.
    groups: {(policy, against): its win rate}, set apart from each other.
  """
  groups = [group for group in groups if group]
  # Colours as in other plots, where policies stand in their own order.
  names = (name for group in groups[::-1] for name, _ in group)
  order = list(dict.fromkeys(names))
  with matplotlib.rc_context(STYLE | {'axes.grid.axis': 'x'}):
    rows = [pair for group in groups for pair in group]
    sheet = page(6.0, 0.34 * len(rows) + 1.4)
    panel = sheet.subplots()
    labels = [f'{name} against {against}' for name, against in rows]
    _rate_axes(panel, labels, 'win rate, with 95 % interval')
    row = 0
    for group in groups:
      if row:
        panel.axhline(row - 0.5, color='#BBBBBB', linewidth=1)
      for (name, _), rate in group.items():
        _rates(panel, order.index(name), name, {row: rate})
        panel.annotate(
          f'{rate.value:.2f}',
          (1.01, row),
          xycoords=('axes fraction', 'data'),
          va='center',
          color='#333333',
        )
        row += 1
    sheet.suptitle('How often one policy beats another', x=0.01, ha='left')
    save(sheet, path)


def win_rates_by_kind(
  path: pathlib.Path,
  policies: Mapping[str, Mapping[str, Estimate]],
  against: str,
) -> None:
  """Draws win rates with their 95 % intervals, a row a kind of prompt.

  Args:
    path: where the PNG goes.
    policies: {policy: {kind: win rate}}; the kind 'all prompts' is set apart
      at the top, and a policy without some kind is let pass.
    against: the policy that the win rates are against.
  """
  kinds = {kind for rates in policies.values() for kind in rates}
  rows = [ALL] * (ALL in kinds) + sorted(kinds - {ALL})
  # Inches: a line a policy in every row, and a gap between rows.
  line, gap = 0.17, 0.15
  height = line * len(policies) + gap
  with matplotlib.rc_context(STYLE | {'axes.grid.axis': 'x'}):
    sheet = page(6.0, height * len(rows) + 1.5)
    panel = sheet.subplots()
    _rate_axes(panel, rows, f'win rate against {against}, with 95 % interval')
    for place, (name, rates) in enumerate(policies.items()):
      shift = line / height * (place - (len(policies) - 1) / 2)
      found = {r + shift: rates[k] for r, k in enumerate(rows) if k in rates}
      _rates(panel, place, name, found)
    if ALL in kinds and len(rows) > 1:
      panel.axhline(0.5, color='#BBBBBB', linewidth=1)
    legend_below(sheet)
    sheet.suptitle(f'How often each policy beats {against}', x=0.01, ha='left')
    save(sheet, path)


def credits_by_gap(
  path: pathlib.Path,
  gaps: np.ndarray,
  rates: Sequence[Estimate],
  against: str,
) -> None:
  """Draws the credit of a policy by how much longer its answers are.

  Args:
    path: where the PNG goes.
    gaps: [M] mean characters by which the answers of a group are longer.
    rates: M win rates, a group each.
    against: the policy that the credit is against.
  """
  with matplotlib.rc_context(STYLE):
    sheet = page(6.0, 3.4)
    panel = sheet.subplots()
    panel.axhline(0.5, **NEUTRAL)
    panel.axvline(0.0, **NEUTRAL)
    values, ends = intervals(rates)
    panel.errorbar(gaps, values, yerr=ends, **POINT, **look(0))
    panel.set_ylim(0, 1)
    panel.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    panel.set_xlabel(f'characters longer than {against}, groups of pairs')
    panel.set_ylabel('win rate, with 95 % interval')
    sheet.suptitle('Does length decide?', x=0.01, ha='left')
    save(sheet, path)


def _window(rows):
  """How many rows a running mean is over."""
  return max(rows // 20, 1)


def _curve(panel, steps, values):
  """One metric: its points faint, their running mean bold."""
  steps, values = np.asarray(steps, float), np.asarray(values, float)
  found = np.isfinite(values)
  steps, values = steps[found], values[found]
  window = _window(values.size)
  if window > 1:
    panel.plot(steps, values, color=COLOURS[5], linewidth=0.8, alpha=0.7)
    values = np.convolve(values, np.full(window, 1 / window), mode='valid')
    steps = np.convolve(steps, np.full(window, 1 / window), mode='valid')
  panel.plot(steps, values, color=COLOURS[0], linewidth=1.8)
  panel.margins(x=0.02)
  panel.xaxis.set_major_locator(
    ticker.MaxNLocator(5, integer=True, steps=[1, 2, 5, 10])
  )


def _rate_axes(panel, rows, label):
  """Axes of win rates from 0 to 1, a labelled row each, the first on top."""
  panel.axvline(0.5, **NEUTRAL)
  panel.set_yticks(range(len(rows)), rows)
  panel.set_ylim(len(rows) - 0.5, -0.5)
  panel.set_xlim(0, 1)
  panel.tick_params(axis='y', length=0)
  panel.set_xlabel(label)


def _rates(panel, place, name, rates):
  """One policy's win rates, {height: rate}, as points with intervals."""
  values, ends = intervals(list(rates.values()))
  panel.errorbar(
    values, list(rates), xerr=ends, label=name, **POINT, **look(place)
  )


def _path(panel, place, name, distances, reward):
  """One policy's checkpoints in order, the best ringed, the last one large."""
  colour, marker = look(place).values()
  if len(reward) > MOST_POINTS:  # Every training step, say: average stretches.
    panel.plot(distances, reward, '.', color=colour, markersize=3, alpha=0.25)
    distances, reward = (
      np.array([part.mean() for part in np.array_split(x, MOST_POINTS // 2)])
      for x in (distances, reward)
    )
  line = {'color': colour, 'marker': marker, 'linewidth': 1.6, 'label': name}
  panel.plot(distances, reward, markersize=4.5, **line)
  best = np.argmax(reward)
  ring = {'marker': 'o', 'markersize': 12, 'fillstyle': 'none'}
  panel.plot(
    distances[best], reward[best], color=colour, markeredgewidth=1.4, **ring
  )
  panel.plot(
    distances[-1], reward[-1], color=colour, marker=marker, markersize=9
  )


def _root_axis(panel, largest):
  """Marks distances √KL with the KL they stand for, in round numbers."""
  ticks = ticker.MaxNLocator(7, steps=[1, 2, 2.5, 5, 10])
  kls = [t for t in ticks.tick_values(0, largest) if 0 <= t <= largest * 1.1]
  first = [t for t in (0.1, 0.5) if len(kls) > 1 and t <= kls[1] / 2]
  marks = sorted(set(kls + first))
  panel.set_xticks(np.sqrt(marks), [f'{mark:g}' for mark in marks])
  panel.set_xlim(-0.02 * math.sqrt(largest), 1.12 * math.sqrt(largest))
  panel.set_xlabel('KL, nats per response (even in √KL)')
